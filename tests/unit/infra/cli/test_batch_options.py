"""What the options of `weir batch score` ask for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from features.definitions import DAY_MS
from infra.cli.batch_options import BatchOptions, range_of_days
from infra.cli.failures import UsageError
from models.definition import ModelDefinition
from models.errors import UnknownModelError
from models.policy import DecisionPolicy
from operations.batch_scoring.request import DayRange, EntitiesAsOf, FeatureTable
from schemas.settings import Settings

MIDNIGHT_MS = 20_000 * DAY_MS
NOW_MS = MIDNIGHT_MS + 7_000_000
DEFAULTS = BatchOptions(
    days=None,
    as_of_ms=None,
    active_ms=30 * DAY_MS,
    features=None,
    entity=None,
    model=None,
    version=None,
    to=None,
    table="predictions",
    part_rows=250_000,
)
SETTINGS = Settings(
    predictions_url="duckdb:out.db",
    models="examples.churn.model:CHURN,tests.unit.infra.cli.test_batch_options:RANKS",
)
CHURN = replace(DEFAULTS, active_ms=None, model="churn")
RANKS = ModelDefinition(
    name="ranks",
    columns=("product_price",),
    policy=DecisionPolicy(("SKIP", "SHOW"), (0.5,)),
    active_ms=5 * DAY_MS,
    routes="examples.ranks:ROUTES",
)


def test_without_options_users_are_scored_by_the_champion_as_of_the_last_midnight() -> None:
    request = DEFAULTS.request(SETTINGS, now_ms=NOW_MS)
    assert request.rows == EntitiesAsOf(MIDNIGHT_MS, 30 * DAY_MS)
    assert request.entity_column == "user_id"
    assert request.sink == "duckdb:out.db"
    assert (request.model_name, request.model_version) == ("weir-fraud", "champion")


def test_days_are_scored_by_transaction() -> None:
    days = range_of_days(datetime(2026, 6, 1), datetime(2026, 6, 3))  # noqa: DTZ001 - as typer's
    assert days is not None
    assert days.end_ms - days.first_ms == 2 * DAY_MS
    request = replace(DEFAULTS, days=days).request(SETTINGS, now_ms=NOW_MS)
    assert (request.rows, request.entity_column) == (days, "transaction_id")


def test_a_table_of_features_has_the_prediction_date_and_entity_that_are_named(
    tmp_path: Path,
) -> None:
    options = replace(DEFAULTS, features=tmp_path, as_of_ms=MIDNIGHT_MS - DAY_MS, entity="shop")
    request = options.request(SETTINGS, now_ms=NOW_MS)
    assert request.rows == FeatureTable(str(tmp_path), MIDNIGHT_MS - DAY_MS)
    assert request.entity_column == "shop"


def test_another_model_says_who_is_active_and_what_a_score_means() -> None:
    request = CHURN.request(SETTINGS, now_ms=NOW_MS)
    assert request.rows == EntitiesAsOf(MIDNIGHT_MS, 30 * DAY_MS)
    assert (request.model_name, request.entity_column) == ("churn", "user_id")
    assert request.definition.policy.outcomes == ("STAYS", "AT_RISK", "LEAVES")


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"model": "chrun"}, UnknownModelError, "known are weir-fraud, churn, ranks"),
        ({"days": DayRange(0, DAY_MS)}, UsageError, "model churn scores users as of a day"),
        ({"entity": "merchant_id"}, UsageError, "model churn scores users as of a day"),
        ({"model": "ranks"}, UsageError, "ranks takes more than a user; .* --features"),
    ],
)
def test_rows_that_a_model_of_users_cannot_score_are_refused(
    changes: dict[str, object], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        replace(CHURN, **changes).request(SETTINGS, now_ms=NOW_MS)  # type: ignore[arg-type]


def test_a_table_of_features_serves_a_model_that_takes_more_than_a_user(tmp_path: Path) -> None:
    options = replace(CHURN, model="ranks", features=tmp_path, entity="pair")
    assert options.request(SETTINGS, now_ms=NOW_MS).entity_column == "pair"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"as_of_ms": NOW_MS + 1}, "after the clock"),
        ({"days": DayRange(0, DAY_MS), "as_of_ms": 0}, "neither"),
        ({"days": DayRange(0, DAY_MS), "features": Path("/tmp")}, "neither"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    changes: dict[str, object], match: str
) -> None:
    with pytest.raises(UsageError, match=match):
        replace(DEFAULTS, **changes).request(SETTINGS, now_ms=NOW_MS)  # type: ignore[arg-type]


def test_a_range_needs_both_ends_in_order() -> None:
    first, second = datetime(2026, 6, 1), datetime(2026, 6, 2)  # noqa: DTZ001 - as typer's
    assert range_of_days(None, None) is None
    for given in ((first, None), (None, second), (second, first), (first, first)):
        with pytest.raises(UsageError):
            range_of_days(*given)


@pytest.mark.parametrize("changes", [{"days": DayRange(0, DAY_MS)}, {"as_of_ms": 0}])
def test_what_names_days_is_not_repeated_daily(changes: dict[str, object]) -> None:
    DEFAULTS.check_repeatable()
    with pytest.raises(UsageError, match="--every"):
        replace(DEFAULTS, **changes).check_repeatable()  # type: ignore[arg-type]
