"""The data set of a model of users: who is a row, what a row sees, what its label sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from examples.churn.model import CHURN
from examples.churn.world import World
from features.batch import ACTIVITY
from features.definitions import DAY_MS, HOUR_MS
from features.user_inputs import DAYS_IDLE, VELOCITY_NAMES
from models.definition import Label, ModelDefinition
from models.errors import ModelDefinitionError
from operations.batch_scoring.selection import repeats, write_newest
from schemas.label import Label as FraudLabel
from schemas.settings import Settings
from schemas.topics import FEATURES
from schemas.transaction import Transaction
from tests.logged_system import END_MS, LoggedSystem
from training.archive.store import ArchiveTable
from training.datasets.dataset import Dataset
from training.datasets.split import split_with_gap
from training.datasets.user_rows import LABEL_COLUMN, build_user_dataset, rows_at_midnights
from training.errors import EmptyRangeError, NoFeatureRowsError, OneClassError

WORLD = World(shoppers=25, days=70, end_ms=END_MS, currency="EUR")
TRANSACTIONS = WORLD.transactions()
FIRST_MS = WORLD.first_ms + 20 * DAY_MS
HORIZON_MS = 30 * DAY_MS


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    def world() -> tuple[list[Transaction], list[FraudLabel]]:
        first = TRANSACTIONS[0]
        return TRANSACTIONS, [
            FraudLabel(
                first.transaction_id,
                first.merchant_id,
                first.event_time_ms,
                first.event_time_ms,
                is_fraud=False,
            )
        ]

    url = str(tmp_path_factory.mktemp("users") / "archive")
    LoggedSystem.folded(world=world).archive(url)
    return Settings(archive_url=url)


def build(settings: Settings, definition: ModelDefinition = CHURN, **changes: Any) -> Dataset:
    asked = {"first_ms": FIRST_MS, "end_ms": END_MS, "as_of_ms": END_MS, **changes}
    return build_user_dataset(settings, definition, **asked)


def row_of(table: pd.DataFrame, user_id: str, midnight_ms: int) -> Mapping[str, Any]:
    (row,) = table[(table["user_id"] == user_id) & (table["event_time_ms"] == midnight_ms)].to_dict(
        "records"
    )
    return row


def test_a_row_sees_what_was_before_its_midnight_and_its_label_what_came_after(
    settings: Settings,
) -> None:
    table = build(settings).table
    assert list(table.columns) == ["user_id", "event_time_ms", *CHURN.columns, LABEL_COLUMN]
    for midnight_ms in table["event_time_ms"].unique()[::5]:
        of_midnight = table[table["event_time_ms"] == midnight_ms]
        active = {}
        for each in TRANSACTIONS:
            if midnight_ms - CHURN.active_ms <= each.event_time_ms < midnight_ms:
                active.setdefault(each.user_id, []).append(each)
        assert sorted(active) == of_midnight["user_id"].tolist()
        for user_id, known in active.items():
            row = row_of(table, user_id, midnight_ms)
            days = midnight_ms // DAY_MS - known[-1].event_time_ms // DAY_MS
            assert row[DAYS_IDLE] == days
            assert row[ACTIVITY.names[0]] == len(known)
            assert row[ACTIVITY.names[1]] == sum(each.amount_minor for each in known)
            later = [
                each
                for each in TRANSACTIONS
                if each.user_id == user_id
                and midnight_ms <= each.event_time_ms < midnight_ms + HORIZON_MS
            ]
            assert row[LABEL_COLUMN] is (not later)


def test_velocity_is_that_of_the_row_that_batch_scoring_takes(
    settings: Settings, tmp_path: Path
) -> None:
    dataset = build(settings)
    midnight_ms = int(dataset.table["event_time_ms"].iloc[-1])
    files = [
        name.removeprefix("file://")
        for name in ArchiveTable(settings.archive_url, FEATURES).files()
    ]
    out = tmp_path / "newest.parquet"
    write_newest(
        files,
        repeats(files),
        out,
        entity_column="user_id",
        first_ms=midnight_ms - CHURN.active_ms,
        end_ms=midnight_ms,
    )
    of_batch = pq.read_table(out).to_pandas().set_index("user_id")
    ours = dataset.table[dataset.table["event_time_ms"] == midnight_ms].set_index("user_id")
    assert ours.index.tolist() == of_batch.index.tolist()
    for name in set(CHURN.columns) & set(VELOCITY_NAMES):
        np.testing.assert_array_equal(ours[name], of_batch[name].astype(float))


def test_of_rows_of_one_time_the_last_of_the_log_counts() -> None:
    rows = pd.DataFrame(
        {
            "user_id": ["u", "u", "u"],
            "event_time_ms": [DAY_MS - 1, DAY_MS - 1, DAY_MS],
            "log_partition": [0, 0, 0],
            "log_offset": [9, 4, 5],
            **{name: [1.0, 2.0, 3.0] for name in VELOCITY_NAMES},
        }
    )
    found = rows_at_midnights(rows, np.array([DAY_MS, 2 * DAY_MS, 5 * DAY_MS]), active_ms=DAY_MS)
    assert found["event_time_ms"].tolist() == [DAY_MS, 2 * DAY_MS]
    assert found[VELOCITY_NAMES[0]].tolist() == [1.0, 3.0]
    assert found[DAYS_IDLE].tolist() == [1, 1]


def test_the_same_version_gives_the_same_bytes_and_another_label_another_version(
    settings: Settings,
) -> None:
    first, again = build(settings), build(settings, as_of_ms=END_MS + DAY_MS)
    assert first.parquet() == again.parquet()
    assert first.version == again.version
    other = replace(CHURN, label=Label("count(transaction_id) = 0", HORIZON_MS // 2))
    assert build(settings, other).version.digest != first.version.digest


def test_rows_whose_horizon_is_not_over_are_left_out(settings: Settings) -> None:
    dataset = build(settings)
    newest_ms = TRANSACTIONS[-1].event_time_ms
    assert dataset.table["event_time_ms"].max() <= newest_ms - HORIZON_MS
    assert dataset.immature == (END_MS - (newest_ms - HORIZON_MS) // DAY_MS * DAY_MS) // DAY_MS - 1


@pytest.mark.parametrize(
    ("definition", "changes", "error", "message"),
    [
        (CHURN, {"end_ms": FIRST_MS}, EmptyRangeError, "no midnight"),
        (CHURN, {"first_ms": END_MS - DAY_MS}, NoFeatureRowsError, "known 30 days after a row"),
        (CHURN, {"as_of_ms": FIRST_MS}, NoFeatureRowsError, "name earlier days"),
        (replace(CHURN, label=None), {}, ModelDefinitionError, "has no label"),
        (
            replace(CHURN, label=Label("count(", HOUR_MS)),
            {},
            ModelDefinitionError,
            "is no aggregate",
        ),
        (replace(CHURN, label=Label("sum(amount_minor) > 5", 1)), {}, ModelDefinitionError, "one"),
        (replace(CHURN, label=Label("count(*) > 0", 1)), {}, OneClassError, "both kinds"),
    ],
)
def test_a_data_set_that_cannot_be_says_why(
    request: pytest.FixtureRequest,
    definition: ModelDefinition,
    changes: Mapping[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        build(request.getfixturevalue("settings"), definition, **changes)


def table_of_days(days: int) -> pd.DataFrame:
    times_ms = np.repeat(np.arange(days) * DAY_MS, 2)
    return pd.DataFrame({"event_time_ms": times_ms, "a": 1.0, LABEL_COLUMN: False})


def test_judged_rows_are_a_horizon_newer_than_fitted_ones() -> None:
    split = split_with_gap(table_of_days(100), horizon_ms=30 * DAY_MS, columns=("a",))
    assert split.test["event_time_ms"].min() == 85 * DAY_MS
    assert split.train["event_time_ms"].max() == 55 * DAY_MS
    assert split.validation.empty
    assert split.vector_spec(split.fitted).columns == ("a",)


def test_a_history_that_is_too_short_to_judge_is_refused() -> None:
    with pytest.raises(NoFeatureRowsError, match=r"30 days .* newer than those it is fitted on"):
        split_with_gap(table_of_days(20), horizon_ms=30 * DAY_MS, columns=("a",))
