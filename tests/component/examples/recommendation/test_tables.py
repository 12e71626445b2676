"""The tables of a shop: ids get numbers, and what does not fit is refused."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from examples.recommendation.features import DAYPARTS
from examples.recommendation.profiles import product_profiles, shopper_profiles
from examples.recommendation.tables import (
    PRODUCTS_FILE,
    PURCHASES_FILE,
    TEST,
    TRAIN,
    VISITS_FILE,
    TablesError,
    read_tables,
    read_visits,
)

PRODUCTS: dict[str, list[Any]] = {
    "product_id": [30, 10, 20],
    "category": [1, 0, 1],
    "price_minor": [300, 100, 200],
}
PURCHASES: dict[str, list[Any]] = {
    "user_id": ["b", "a", "b", "b"],
    "product_id": [20, 10, 30, 10],
    "daypart": ["evening", None, "brunch", "evening"],
}
VISITS: dict[str, list[Any]] = {
    "user_id": ["a", "stranger", "a", "b"],
    "daypart": ["night", "night", "night", None],
    "product_id": [30, 10, 20, 10],
    "part": [TRAIN, TRAIN, TRAIN, TEST],
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for file, columns in (
        (PRODUCTS_FILE, PRODUCTS),
        (PURCHASES_FILE, PURCHASES),
        (VISITS_FILE, VISITS),
    ):
        pq.write_table(pa.table(columns), tmp_path / file)
    return tmp_path


def changed(shop: Path, file: str, **columns: list[Any]) -> None:
    kept = pq.read_table(shop / file).to_pydict()
    pq.write_table(pa.table({**kept, **columns}), shop / file)


def test_products_are_numbered_in_the_order_of_their_ids(shop: Path) -> None:
    bought, catalogue = read_tables(shop)
    assert catalogue.products.tolist() == [10, 20, 30]
    assert catalogue.price_minor.tolist() == [100, 200, 300]
    assert [bought.users[number] for number in bought.user] == ["b", "a", "b", "b"]
    assert catalogue.products[bought.product].tolist() == [20, 10, 30, 10]


def test_a_part_of_the_day_that_is_null_or_unknown_has_no_number(shop: Path) -> None:
    evening = DAYPARTS.index("evening")
    assert read_tables(shop)[0].daypart.tolist() == [evening, -1, -1, evening]


def test_visits_are_one_row_for_each_known_shopper(shop: Path) -> None:
    bought, catalogue = read_tables(shop)
    visits = read_visits(shop, bought, catalogue, part=TRAIN)
    assert [bought.users[number] for number in visits.user] == ["a"]
    assert catalogue.products[visits.bought[0]].tolist() == [30, 20]
    assert visits.daypart.tolist() == [DAYPARTS.index("night")]
    (of_test,) = read_visits(shop, bought, catalogue, part=TEST).daypart
    assert of_test == -1


def test_profiles_are_what_was_bought(shop: Path) -> None:
    bought, catalogue = read_tables(shop)
    of_b = shopper_profiles(bought, catalogue)[bought.users.index("b")]
    assert of_b.tolist() == pytest.approx([3, 200, 1, 0, 0, 2 / 3, 1 / 3, 0])
    of_10 = product_profiles(bought, catalogue)[0]
    assert of_10[:3].tolist() == [0, 100, 2]
    # One of its purchases has a known part of the day; 20 more count as those of its category.
    assert of_10[3 + DAYPARTS.index("evening")] == pytest.approx((1 + 20 * 2 / 5) / 21)


@pytest.mark.parametrize(
    ("file", "columns", "message"),
    [
        (PRODUCTS_FILE, {"product_id": [30, 10, -1]}, "product_id is -1, must be from 0 to 429"),
        (PRODUCTS_FILE, {"product_id": [30, 10, 2**32]}, "product_id is 4294967296"),
        (PRODUCTS_FILE, {"product_id": [30, 10, 10]}, "product_id 10 is there twice"),
        (PRODUCTS_FILE, {"category": [0, -1, 0]}, "category is -1, must be 0 or more"),
        (PRODUCTS_FILE, {"price_minor": [1, None, 1]}, "price_minor is null in 1 rows"),
        (PURCHASES_FILE, {"product_id": [20, 10, 11, 10]}, "1 rows of purchases.parquet are of"),
        (PURCHASES_FILE, {"user_id": ["b", None, "b", "b"]}, "user_id is null in some rows"),
    ],
)
def test_what_does_not_fit_is_refused(
    shop: Path, file: str, columns: dict[str, list[Any]], message: str
) -> None:
    changed(shop, file, **columns)
    with pytest.raises(TablesError, match=message):
        read_tables(shop)


def test_the_highest_product_id_is_accepted(shop: Path) -> None:
    changed(shop, PRODUCTS_FILE, product_id=[30, 10, 2**32 - 1])
    changed(shop, PURCHASES_FILE, product_id=[2**32 - 1, 10, 30, 10])
    assert read_tables(shop)[1].products[-1] == 2**32 - 1


def test_a_missing_file_and_an_empty_table_are_named(shop: Path) -> None:
    (shop / PRODUCTS_FILE).unlink()
    with pytest.raises(TablesError, match=r"products\.parquet cannot be read"):
        read_tables(shop)
    pq.write_table(pa.table({name: [] for name in PRODUCTS}), shop / PRODUCTS_FILE)
    with pytest.raises(TablesError, match=r"products\.parquet has no rows"):
        read_tables(shop)
