"""Writes the tables of a seeded world, and remembers which world it was.

Called by the command of the example; the evaluation makes the same world again, to know the tastes.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from examples.recommendation.features import DAYPARTS
from examples.recommendation.tables import (
    PRODUCTS_FILE,
    PURCHASES_FILE,
    TEST,
    TRAIN,
    VISITS_FILE,
    TablesError,
)
from examples.recommendation.world import Purchases, Size, Visit, World

WORLD_FILE: Final = "world.json"
DRAWS: Final = 8
"""Products that a shopper looks for in a visit; those that the shopper has already do not count."""
VISITS_SHARE: Final = 0.1
VISITS_MAX: Final = 3_000


def write_world(
    size: Size, directory: Path, *, seed: int, end_ms: int, visits: int | None = None
) -> World:
    """Make a world and write its tables.

    Args:
        size: of the world.
        directory: made if it does not exist.
        seed: equal seeds give equal tables.
        end_ms: end of the purchases, ms since 1970 UTC.
        visits: shoppers with a visit, for training and for the test each; None: a tenth of them, at
            most `VISITS_MAX`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    world = World(size, seed=seed, end_ms=end_ms)
    bought = world.history()
    pq.write_table(_purchases(bought, size.users), directory / PURCHASES_FILE)
    products = {
        "product_id": pa.array(np.arange(size.products)),
        "category": pa.array(world.category),
        "price_minor": pa.array(world.price_minor),
    }
    pq.write_table(pa.table(products), directory / PRODUCTS_FILE)
    count = min(VISITS_MAX, int(VISITS_SHARE * size.users)) if visits is None else visits
    shoppers = np.random.default_rng(seed).permutation(size.users)
    parts = {TRAIN: shoppers[:count], TEST: shoppers[count : 2 * count]}
    tables = [
        _visits(world.visits(np.sort(users), bought, draws=DRAWS, seed=at), part)
        for at, (part, users) in enumerate(parts.items())
    ]
    pq.write_table(pa.concat_tables(tables), directory / VISITS_FILE)
    about = {"size": asdict(size), "seed": seed, "end_ms": end_ms}
    (directory / WORLD_FILE).write_text(json.dumps(about))
    return world


def read_world(directory: Path) -> World:
    """Make the world again whose tables are in a directory.

    Raises:
        TablesError: the tables are of no world.
    """
    try:
        about = json.loads((directory / WORLD_FILE).read_text())
        return World(Size(**about["size"]), seed=about["seed"], end_ms=about["end_ms"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TablesError(
            f"{directory / WORLD_FILE} cannot be read: {error!s:.200}; only of a world that this "
            "example has made are the tastes known"
        ) from error


def user_id(number: int) -> str:
    """Give the id of a shopper of a world.

    Examples:
        >>> user_id(42)
        'shopper-000042'
    """
    return f"shopper-{number:06d}"


def _purchases(bought: Purchases, users: int) -> pa.Table:
    ids = pa.array([user_id(number) for number in range(users)])
    return pa.table(
        {
            "user_id": pa.DictionaryArray.from_arrays(pa.array(bought.user), ids),
            "product_id": pa.array(bought.product),
            "daypart": pa.DictionaryArray.from_arrays(pa.array(bought.daypart), pa.array(DAYPARTS)),
            "time_ms": pa.array(bought.time_ms),
        }
    )


def _visits(visit: Visit, part: str) -> pa.Table:
    row, place = np.nonzero(visit.bought >= 0)
    return pa.table(
        {
            "user_id": pa.array([user_id(number) for number in visit.user[row]]),
            "daypart": pa.array([DAYPARTS[at] for at in visit.daypart[row]]),
            "product_id": pa.array(visit.bought[row, place]),
            "part": pa.array([part] * len(row)),
        }
    )
