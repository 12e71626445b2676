"""Daily snapshots compared with a recount of everything, and the table of labels for Feast."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from features.batch import BATCH_FEATURES, BATCH_NAMES
from features.definitions import DAY_MS
from training.archive.labels import with_intervals
from training.datasets.batch_tables import transaction_labels, user_snapshots

WINDOW_MS = BATCH_FEATURES[0].window_ms
TODAY = 20_000
MIDNIGHT_MS = TODAY * DAY_MS


def transactions(*rows: tuple[str, str, int, int]) -> pa.Table:
    names = ["transaction_id", "user_id", "amount_minor", "event_time_ms"]
    types = [pa.string(), pa.string(), pa.int64(), pa.int64()]
    columns = list(zip(*rows, strict=True)) if rows else [[] for _ in names]
    return pa.table(
        [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)], names=names
    )


def observations(*rows: tuple[str, int, bool]) -> pd.DataFrame:
    names = ["transaction_id", "observed_time_ms", "is_fraud"]
    types = {"observed_time_ms": "int64", "is_fraud": bool}
    return with_intervals(pd.DataFrame(rows, columns=names).astype(types))


def only(rows: pa.Table) -> dict[str, Any]:
    (row,) = rows.to_pylist()
    return row


@pytest.mark.parametrize(
    ("event_time_ms", "counts"),
    [
        (MIDNIGHT_MS - WINDOW_MS - 1, False),
        (MIDNIGHT_MS - WINDOW_MS, True),
        (MIDNIGHT_MS - 1, True),
        (MIDNIGHT_MS, False),
    ],
)
def test_the_window_ends_before_midnight(event_time_ms: int, *, counts: bool) -> None:
    made = transactions(("t", "u", 100, event_time_ms))
    assert len(user_snapshots(made, observations(), snapshots=[TODAY])) == counts


@pytest.mark.parametrize(("late_ms", "frauds"), [(-1, 1), (0, 0), (1, 0)])
def test_a_report_counts_if_it_was_known_before_midnight(late_ms: int, frauds: int) -> None:
    made = transactions(("t", "u", 100, MIDNIGHT_MS - 10))
    known = observations(("t", MIDNIGHT_MS + late_ms, True))
    assert only(user_snapshots(made, known, snapshots=[TODAY]))[BATCH_NAMES[2]] == frauds


def test_a_withdrawn_report_counts_until_it_was_withdrawn() -> None:
    made = transactions(("t", "u", 100, MIDNIGHT_MS - 3 * DAY_MS))
    known = observations(
        ("t", MIDNIGHT_MS - 2 * DAY_MS - 1, True), ("t", MIDNIGHT_MS - DAY_MS, False)
    )
    days = [TODAY - 2, TODAY - 1, TODAY]
    rows = user_snapshots(made, known, snapshots=days).to_pylist()
    assert [row["event_time"] for row in rows] == [
        datetime.fromtimestamp(day * DAY_MS / 1_000, UTC) for day in days
    ]
    assert [row[BATCH_NAMES[2]] for row in rows] == [1, 1, 0]


def test_every_snapshot_is_what_a_recount_gives() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    first_ms = MIDNIGHT_MS - WINDOW_MS - 20 * DAY_MS
    rows = [
        (
            f"t{n}",
            f"u{rng.randrange(7)}",
            rng.randrange(10**6),
            rng.randrange(first_ms, MIDNIGHT_MS),
        )
        for n in range(400)
    ]
    known = {}
    for transaction_id, _, _, time_ms in rng.choices(rows, k=200):
        observed_ms = time_ms + rng.randrange(20) * DAY_MS
        known[transaction_id, observed_ms] = rng.random() < 0.7
    days = [TODAY - 15, TODAY - 1, TODAY]
    found = user_snapshots(
        transactions(*rows),
        observations(*((one, at_ms, fraud) for (one, at_ms), fraud in known.items())),
        snapshots=days,
    ).to_pylist()
    assert found == [row for day in days for row in recounted(rows, known, day)]


def recounted(
    rows: list[tuple[str, str, int, int]], known: dict[tuple[str, int], bool], day: int
) -> list[dict[str, Any]]:
    end_ms = day * DAY_MS
    answer = []
    for user in sorted({row[1] for row in rows}):
        mine = [r for r in rows if r[1] == user and end_ms - WINDOW_MS <= r[3] < end_ms]
        frauds = 0
        for transaction_id, _, _, _ in mine:
            said = [
                (at_ms, fraud)
                for (one, at_ms), fraud in known.items()
                if one == transaction_id and at_ms < end_ms
            ]
            frauds += bool(said) and max(said)[1]
        if mine:
            values = (len(mine), sum(r[2] for r in mine) / len(mine), frauds, frauds / len(mine))
            answer.append(
                {
                    "user_id": user,
                    "event_time": datetime.fromtimestamp(end_ms / 1_000, UTC),
                    **dict(zip(BATCH_NAMES, values, strict=True)),
                }
            )
    return answer


def test_without_labels_nobody_has_frauds() -> None:
    row = only(
        user_snapshots(
            transactions(("t", "u", 7, MIDNIGHT_MS - 1)), observations(), snapshots=[TODAY]
        )
    )
    assert [row[name] for name in BATCH_NAMES] == [1, 7.0, 0, 0.0]


def test_labels_are_known_from_the_time_of_their_observation() -> None:
    row = only(transaction_labels(observations(("t", MIDNIGHT_MS, True))))
    assert row == {
        "transaction_id": "t",
        "observed_time": datetime.fromtimestamp(MIDNIGHT_MS / 1_000, UTC),
        "is_fraud": True,
    }
