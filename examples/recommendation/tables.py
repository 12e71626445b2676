"""The tables that a shop has: purchases, products and later visits, as Parquet files.

Everything after this module works on numbered users and products; here the ids are given numbers.
To recommend from purchases of your own, write these three files. The seeded world is one source of
them (`examples.recommendation.world_tables`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from examples.recommendation.features import DAYPARTS
from schemas.errors import WeirError

PURCHASES_FILE: Final = "purchases.parquet"
"""``user_id`` (text), ``product_id`` (integer), ``daypart`` (text or null), ``time_ms``."""
PRODUCTS_FILE: Final = "products.parquet"
"""``product_id`` (integer from 0 to 2^32 - 1), ``category`` (integer from 0), ``price_minor``."""
VISITS_FILE: Final = "visits.parquet"
"""``user_id``, ``daypart``, ``product_id``, one row for each product that a shopper bought in a
visit after the purchases; and ``part``: `TRAIN` or `TEST`."""
TRAIN: Final = "train"
TEST: Final = "test"

PRODUCT_ID_MAX: Final = 2**32 - 1


class TablesError(WeirError, ValueError):
    """The tables of purchases and products are missing, empty, or do not fit together."""


class Catalogue(NamedTuple):
    """Products as columns of equal length."""

    products: NDArray[np.int64]
    category: NDArray[np.int64]
    price_minor: NDArray[np.int64]


class Interactions(NamedTuple):
    """Purchases as columns of equal length.

    Attributes:
        users: the id of each numbered user.
        user: number of the user, of each purchase.
        product: position of the product in the catalogue.
        daypart: position in `DAYPARTS`; -1 where it is not known.
    """

    users: list[str]
    user: NDArray[np.int64]
    product: NDArray[np.int64]
    daypart: NDArray[np.int64]


class Visits(NamedTuple):
    """Visits of shoppers after their purchases, one for each shopper.

    Attributes:
        user: numbers of the shoppers.
        daypart: position in `DAYPARTS`; -1 where it is not known.
        bought: shape (visits, most products of a visit), positions in the catalogue; -1 for none.
    """

    user: NDArray[np.int64]
    daypart: NDArray[np.int64]
    bought: NDArray[np.int64]


def read_tables(directory: Path) -> tuple[Interactions, Catalogue]:
    """Read both tables and give the ids numbers.

    Raises:
        TablesError: a file or a column is missing, a table is empty, a product id is out of range
            or given twice, or a purchase is of a product that is not in the catalogue.
    """
    products = _read(directory / PRODUCTS_FILE, ("product_id", "category", "price_minor"))
    bought = _read(directory / PURCHASES_FILE, ("user_id", "product_id", "daypart"))
    catalogue = Catalogue(*(_integers(products, name) for name in products.column_names))
    order = np.argsort(catalogue.products, kind="stable")
    catalogue = Catalogue(*(column[order] for column in catalogue))
    _check(catalogue, directory)
    users, user = _codes(bought, "user_id")
    if (user < 0).any():
        raise TablesError(f"{directory / PURCHASES_FILE}: user_id is null in some rows")
    product = _positions(bought, catalogue, of=PURCHASES_FILE)
    return Interactions(users, user, product, _dayparts(bought)), catalogue


def read_visits(
    directory: Path, bought: Interactions, catalogue: Catalogue, *, part: str
) -> Visits:
    """Read the visits of `TRAIN` or `TEST`; those of shoppers without purchases are left out.

    Raises:
        TablesError: as `read_tables`, or no visit is left.
    """
    table = _read(directory / VISITS_FILE, ("user_id", "daypart", "product_id", "part"))
    table = table.filter(pc.equal(table["part"].cast(pa.string()), part))
    numbers = {user_id: number for number, user_id in enumerate(bought.users)}
    ids, code = _codes(table, "user_id")
    user = np.array([numbers.get(user_id, -1) for user_id in ids] or [-1])[code]
    product, daypart = _positions(table, catalogue, of=VISITS_FILE), _dayparts(table)
    is_known = user >= 0
    if not is_known.any():
        raise TablesError(f"{directory / VISITS_FILE} has no visit of part {part!r}")
    shoppers, first, row = np.unique(user[is_known], return_index=True, return_inverse=True)
    place = _places_within(row)
    matrix = np.full((len(shoppers), 1 + int(place.max())), -1, dtype=np.int64)
    matrix[row, place] = product[is_known]
    return Visits(shoppers, daypart[is_known][first], matrix)


def _places_within(row: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the entries of each row from 0, in their order."""
    order = np.argsort(row, kind="stable")
    counts = np.bincount(row)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    place = np.empty(len(row), dtype=np.int64)
    place[order] = np.arange(len(row)) - starts
    return place


def _positions(table: pa.Table, catalogue: Catalogue, *, of: str) -> NDArray[np.int64]:
    ids = _integers(table, "product_id")
    at = np.searchsorted(catalogue.products, ids).clip(max=len(catalogue.products) - 1)
    unknown = ids[catalogue.products[at] != ids]
    if len(unknown):
        raise TablesError(
            f"{len(unknown)} rows of {of} are of products that {PRODUCTS_FILE} does not have, the "
            f"first of {unknown[0]}; add them to it"
        )
    return np.asarray(at, dtype=np.int64)


def _dayparts(table: pa.Table) -> NDArray[np.int64]:
    names, code = _codes(table, "daypart")
    places = [DAYPARTS.index(name) if name in DAYPARTS else -1 for name in names]
    # The last one is for null, whose code is -1.
    return np.array([*places, -1])[code]


def _check(catalogue: Catalogue, directory: Path) -> None:
    file, ids = directory / PRODUCTS_FILE, catalogue.products
    if ids[0] < 0 or ids[-1] > PRODUCT_ID_MAX:
        worst = ids[0] if ids[0] < 0 else ids[-1]
        raise TablesError(f"{file}: product_id is {worst}, must be from 0 to {PRODUCT_ID_MAX}")
    twice = ids[1:][ids[1:] == ids[:-1]]
    if len(twice):
        raise TablesError(f"{file}: product_id {twice[0]} is there twice")
    if catalogue.category.min() < 0:
        raise TablesError(f"{file}: category is {catalogue.category.min()}, must be 0 or more")


def _read(file: Path, columns: tuple[str, ...]) -> pa.Table:
    try:
        table = pq.read_table(file, columns=list(columns))
    except (OSError, pa.ArrowInvalid) as error:
        raise TablesError(f"{file} cannot be read: {error!s:.200}") from error
    if missing := set(columns) - set(table.column_names):
        raise TablesError(f"{file} lacks the columns {sorted(missing)}")
    if not len(table):
        raise TablesError(f"{file} has no rows")
    return table


def _integers(table: pa.Table, name: str) -> NDArray[np.int64]:
    column = table.column(name)
    if column.null_count:
        raise TablesError(f"{name} is null in {column.null_count} rows, must have a value")
    return np.asarray(column.cast(pa.int64()).to_numpy(), dtype=np.int64)


def _codes(table: pa.Table, name: str) -> tuple[list[str], NDArray[np.int64]]:
    """Give the different texts of a column, and the position of each row's; -1 for null."""
    column = table.column(name).combine_chunks()
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return column.dictionary.to_pylist(), codes
