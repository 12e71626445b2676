"""The latest observation of a transaction counts; archive and log give the same labels."""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd
import pytest

from clients.log_record import Record
from schemas.codec import encode_label
from schemas.label import Label
from schemas.topics import LABELS
from tests.archives import append_values
from tests.builders import LABEL, LIMITS, NOW_MS
from training.archive.labels import (
    NEVER_MS,
    archived_labels,
    archived_observations,
    latest_as_of,
    with_intervals,
)
from training.datasets.read_log import label_table


def observations(*rows: tuple[str, int, bool]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["transaction_id", "observed_time_ms", "is_fraud"])


def label(transaction_id: str, *, observed_ms: int, is_fraud: bool = True) -> bytes:
    return encode_label(
        Label(transaction_id, "m-1", LABEL.event_time_ms, observed_ms, is_fraud=is_fraud)
    )


def test_an_observation_is_the_latest_until_the_next_one_of_its_transaction() -> None:
    found = with_intervals(observations(("a", 5, True), ("b", 7, True), ("a", 3, False)))
    assert found[["transaction_id", "observed_time_ms", "until_ms"]].to_numpy().tolist() == [
        ["a", 3, 5],
        ["a", 5, NEVER_MS],
        ["b", 7, NEVER_MS],
    ]


@pytest.mark.parametrize("later", [True, False])
def test_of_equal_times_the_later_arrival_counts(*, later: bool) -> None:
    found = with_intervals(observations(("a", 5, not later), ("a", 5, later)))
    assert found["is_fraud"].tolist() == [later]


# time        4       5       6       7       8
#             none    True    True    False   False
@pytest.mark.parametrize(
    ("time_ms", "known"),
    [(4, []), (5, [True]), (6, [True]), (7, [False]), (8, [False]), (None, [False])],
)
def test_a_label_counts_from_its_observation_up_to_the_next_one(
    time_ms: int | None, known: list[bool]
) -> None:
    history = with_intervals(observations(("a", 7, False), ("a", 5, True)))
    found = latest_as_of(history, time_ms)
    assert found["is_fraud"].tolist() == known
    assert "until_ms" not in found


def test_the_latest_as_of_any_time_is_what_a_search_finds() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    rows = [(rng.choice("abc"), rng.randrange(20), rng.random() < 0.5) for _ in range(60)]
    history = with_intervals(observations(*rows))
    for time_ms in range(-1, 21):
        found = latest_as_of(history, time_ms).set_index("transaction_id")["is_fraud"].to_dict()
        wanted: dict[str, tuple[int, bool]] = {}
        for transaction_id, observed_ms, is_fraud in rows:
            before = wanted.get(transaction_id, (-1, False))
            if before[0] <= observed_ms <= time_ms:
                wanted[transaction_id] = (observed_ms, is_fraud)
        assert found == {key: is_fraud for key, (_, is_fraud) in wanted.items()}


def test_the_table_of_labels_is_that_of_the_log(tmp_path: Path) -> None:
    values = [
        label("t-1", observed_ms=NOW_MS),
        label("t-2", observed_ms=NOW_MS),
        label("t-1", observed_ms=NOW_MS - 1, is_fraud=False),
        label("t-2", observed_ms=NOW_MS, is_fraud=False),
        b"junk",
    ]
    append_values(str(tmp_path), LABELS, values)
    records = [Record(0, offset, NOW_MS, value) for offset, value in enumerate(values)]
    pd.testing.assert_frame_equal(
        archived_labels(str(tmp_path)), label_table(records, limits=LIMITS)
    )


def test_an_archived_label_counts_from_the_time_of_its_observation(tmp_path: Path) -> None:
    append_values(str(tmp_path), LABELS, [label("t-1", observed_ms=NOW_MS)])
    for as_of_ms, known in ((NOW_MS - 1, 0), (NOW_MS, 1), (NOW_MS + 1, 1)):
        assert len(archived_labels(str(tmp_path), as_of_ms=as_of_ms)) == known


def test_an_archive_without_labels_gives_empty_tables_of_the_same_types(tmp_path: Path) -> None:
    url = str(tmp_path)
    append_values(url, LABELS, [])
    empty = archived_observations(url)
    append_values(url, LABELS, [label("t-1", observed_ms=NOW_MS)])
    pd.testing.assert_series_equal(empty.dtypes, archived_observations(url).dtypes)
    assert archived_labels(url, as_of_ms=0).empty
