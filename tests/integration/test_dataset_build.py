"""Data sets by date: their rows, that they are reproducible, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from features.batch import BATCH_NAMES
from features.definitions import DAY_MS
from schemas.codec import encode_label
from schemas.label import Label
from schemas.output_codec import decode_feature_row, encode_feature_row
from schemas.settings import Settings
from schemas.topics import FEATURES, LABELS
from tests.archives import append_values
from tests.builders import transaction
from tests.scoring_fakes import feature_row
from training.archive.feature_rows import archived_feature_rows
from training.archive.labels import archived_labels
from training.archive.store import ArchiveTable
from training.archive.version import ArchiveVersion
from training.datasets.build import build_dataset
from training.datasets.dataset import COLUMNS, Dataset
from training.datasets.labelled_rows import MATURITY_MS, join_labels
from training.datasets.selection import newest_dataset, rebuild_dataset
from training.datasets.split import SplitKind
from training.errors import (
    EmptyRangeError,
    FutureFeaturesError,
    NoArchiveError,
    NoFeatureRowsError,
    NullShareError,
    OneClassError,
)

START_MS = 20_500 * DAY_MS
DAYS = 18
END_MS = START_MS + 10 * DAY_MS
CLOCK_MS = START_MS + DAYS * DAY_MS
FAR_MS = 253_402_300_799_000
"""A time in the year 9999."""
HOUR_MS = 3_600_000
PER_DAY = 6

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def row_bytes(n: int, *, mean: float | None = 1.5) -> bytes:
    """Encode transaction n, of six a day; the users u0 to u3 take turns."""
    time_ms = START_MS + n * (DAY_MS // PER_DAY)
    row = feature_row(features={"user_transaction_count_5m": n, "user_amount_mean_5m": mean})
    event = transaction(
        transaction_id=f"t{n}", user_id=f"u{n % 4}", amount_minor=n, event_time_ms=time_ms
    )
    return encode_feature_row(replace(row, transaction=event))


def label_bytes(n: int, *, after_ms: int = HOUR_MS, is_fraud: bool = True) -> bytes:
    time_ms = START_MS + n * (DAY_MS // PER_DAY)
    return encode_label(Label(f"t{n}", "m-1", time_ms, time_ms + after_ms, is_fraud=is_fraud))


ROWS = [row_bytes(n) for n in range(DAYS * PER_DAY)]
LABELLED = [label_bytes(n) for n in range(0, DAYS * PER_DAY, 7)]


def settings_of(directory: Path) -> Settings:
    return Settings(data_dir=directory, archive_url=str(directory / "archive"), topic_partitions=1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = settings_of(tmp_path)
    append_values(settings.archive_url, FEATURES, ROWS)
    append_values(settings.archive_url, LABELS, LABELLED)
    return settings


def build(settings: Settings, **changes: object) -> Dataset:
    arguments = {"first_ms": START_MS, "end_ms": END_MS, "as_of_ms": CLOCK_MS, **changes}
    return build_dataset(settings, **arguments)  # type: ignore[arg-type]


def test_a_data_set_has_the_rows_of_its_days_with_their_labels(
    settings: Settings,
) -> None:
    dataset = build(settings)
    rows = archived_feature_rows(settings.archive_url, first_ms=START_MS, end_ms=END_MS)
    as_of_ms = END_MS - 1 + MATURITY_MS
    labels = archived_labels(settings.archive_url, as_of_ms=as_of_ms)
    wanted = join_labels(rows, labels, as_of_ms=as_of_ms)
    assert len(wanted) == 10 * PER_DAY
    pd.testing.assert_frame_equal(dataset.table.drop(columns=list(BATCH_NAMES)), wanted)
    assert tuple(dataset.table.columns) == COLUMNS
    assert (dataset.repeats, dataset.immature) == (0, 0)


def test_batch_features_are_those_of_the_midnight_before(settings: Settings) -> None:
    table = build(settings).table
    day = (table["event_time_ms"] - START_MS) // DAY_MS
    for n, row in table.iterrows():
        before = table[(table["user_id"] == row["user_id"]) & (day < day[n])]
        assert row[BATCH_NAMES[0]] == len(before)
        if len(before):
            assert row[BATCH_NAMES[1]] == before["amount_minor"].mean()
            known = before["is_fraud"] & (
                before["event_time_ms"] + HOUR_MS < START_MS + day[n] * DAY_MS
            )
            assert row[BATCH_NAMES[2]] == known.sum()
        else:
            assert np.isnan(row[BATCH_NAMES[1]])


def test_the_same_days_give_the_same_bytes(settings: Settings) -> None:
    assert build(settings).parquet() == build(settings).parquet()


@pytest.mark.parametrize("kind", list(SplitKind))
def test_a_split_gives_the_same_files_each_time_with_every_row_in_one_of_them(
    settings: Settings, kind: SplitKind
) -> None:
    dataset = build(settings, split=kind)
    again = rebuild_dataset(settings, dataset.report())
    assert dict(again.row_files()) == dict(dataset.row_files())
    assert again.describing_files() == dataset.describing_files()
    names = ("train", "validation", "test")
    parts = [pd.read_parquet(BytesIO(dataset.row_files()[f"{name}.parquet"])) for name in names]
    assert [len(part) for part in parts] == [42, 9, 9]
    rows = pd.concat(parts).sort_values("event_time_ms").reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, dataset.table)
    metadata = pq.read_schema(BytesIO(dataset.row_files()["test.parquet"])).metadata
    assert metadata[b"weir.dataset"].decode() == dataset.version.to_json()
    assert metadata[b"weir.part"] == b"test"
    report = json.loads(dataset.report())
    assert report["version"]["split"] == kind
    assert {name: report["parts"][name]["rows"] for name in names} == dict(
        zip(names, (42, 9, 9), strict=True)
    )
    statistics = pd.read_csv(BytesIO(dataset.describing_files()["statistics-test.csv"]))
    assert set(statistics["rows"]) == {9}
    # The rows are those of the data set without a split, the version is another one.
    whole = build(settings)
    assert dataset.rows_digest == whole.rows_digest
    assert dataset.version.digest != whole.version.digest
    assert set(whole.row_files()) == {"rows.parquet"}
    assert "split" not in json.loads(whole.version.to_json())


@pytest.mark.parametrize("kind", list(SplitKind))
def test_a_part_without_fraud_is_refused(settings: Settings, kind: SplitKind) -> None:
    # One fraud, which is in one part.
    with pytest.raises(OneClassError, match="rows are fraud, each part needs both kinds"):
        build(settings, end_ms=START_MS + DAY_MS, split=kind)


def test_the_same_version_gives_the_same_bytes_whatever_came_later(
    settings: Settings, tmp_path: Path
) -> None:
    first = build(settings)
    # A late report, and a transaction of those days that arrived after all others.
    append_values(settings.archive_url, LABELS, [label_bytes(1)], start=len(LABELLED))
    append_values(
        settings.archive_url, FEATURES, [row_bytes(3).replace(b'"t3"', b'"late"')], start=len(ROWS)
    )
    now = build(settings)
    assert now.parquet() != first.parquet()
    assert now.version.digest != first.version.digest
    again = build(settings, archive=ArchiveVersion.from_json(first.version.archive))
    assert again.parquet() == first.parquet()
    # A rebuilt archive has other commits and files.
    rebuilt = settings_of(tmp_path / "rebuilt")
    for at in range(0, len(ROWS), 50):
        append_values(rebuilt.archive_url, FEATURES, ROWS[at : at + 50], start=at)
    append_values(rebuilt.archive_url, LABELS, LABELLED)
    assert build(rebuilt).parquet() == first.parquet()


def test_the_file_contains_the_version(settings: Settings) -> None:
    dataset = build(settings)
    schema = pq.read_schema(BytesIO(dataset.parquet()))
    assert schema.metadata[b"weir.dataset"].decode() == dataset.version.to_json()
    assert dataset.version.as_of_ms == END_MS - 1 + MATURITY_MS


def test_labels_observed_after_all_rows_were_mature_are_left_out(settings: Settings) -> None:
    on_time = END_MS - 1 + MATURITY_MS - (START_MS + DAY_MS // PER_DAY)
    for late_ms, start in ((1, len(LABELLED)), (0, len(LABELLED) + 1)):
        append_values(
            settings.archive_url, LABELS, [label_bytes(1, after_ms=on_time + late_ms)], start=start
        )
        table = build(settings).table.set_index("transaction_id")
        assert bool(table.loc["t1", "is_fraud"]) == (late_ms == 0)


def test_young_rows_are_left_out_and_counted(settings: Settings) -> None:
    dataset = build(settings, end_ms=START_MS + DAYS * DAY_MS)
    assert dataset.version.as_of_ms == CLOCK_MS
    assert dataset.table["event_time_ms"].max() == CLOCK_MS - MATURITY_MS
    assert dataset.immature == 7 * PER_DAY - 1


def test_an_event_or_report_of_the_far_future_makes_no_row_mature(settings: Settings) -> None:
    whole = {"end_ms": START_MS + DAYS * DAY_MS}
    before, newest = build(settings, **whole), newest_dataset(settings, days=5, as_of_ms=CLOCK_MS)
    row = decode_feature_row(ROWS[0])
    far = replace(row.transaction, transaction_id="far", event_time_ms=FAR_MS)
    far_row = encode_feature_row(replace(row, transaction=far))
    append_values(settings.archive_url, FEATURES, [far_row], start=len(ROWS))
    report = encode_label(Label("far", "m-1", FAR_MS, FAR_MS, is_fraud=True))
    append_values(settings.archive_url, LABELS, [report], start=len(LABELLED))
    after = build(settings, **whole)
    assert after.version.as_of_ms == CLOCK_MS
    pd.testing.assert_frame_equal(after.table, before.table)
    again = newest_dataset(settings, days=5, as_of_ms=CLOCK_MS)
    assert again.version.end_ms == newest.version.end_ms == CLOCK_MS - MATURITY_MS
    pd.testing.assert_frame_equal(again.table, newest.table)


def test_an_old_history_has_a_newest_data_set_with_an_as_of(settings: Settings) -> None:
    years_later_ms = CLOCK_MS + 3_000 * DAY_MS
    with pytest.raises(NoFeatureRowsError, match="--as-of"):
        newest_dataset(settings, days=5, as_of_ms=years_later_ms)
    assert len(newest_dataset(settings, days=5, as_of_ms=CLOCK_MS).table) == 5 * PER_DAY


def test_repeats_are_left_out_and_counted(settings: Settings) -> None:
    before = build(settings).table
    append_values(settings.archive_url, FEATURES, [ROWS[3], ROWS[4], ROWS[-1]], start=len(ROWS))
    dataset = build(settings)
    assert dataset.repeats == 2
    pd.testing.assert_frame_equal(dataset.table, before)


@pytest.mark.parametrize("days", [0, -1])
def test_an_empty_range_is_refused(settings: Settings, days: int) -> None:
    with pytest.raises(EmptyRangeError, match="later end"):
        build(settings, end_ms=START_MS + days * DAY_MS)


def test_a_range_without_rows_is_refused(settings: Settings) -> None:
    with pytest.raises(NoFeatureRowsError, match="none of them from"):
        build(settings, first_ms=START_MS - 9 * DAY_MS, end_ms=START_MS - DAY_MS)


def test_a_missing_table_of_labels_is_named(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    append_values(settings.archive_url, FEATURES, ROWS)
    with pytest.raises(NoArchiveError, match="archive/labels"):
        build(settings)


def test_one_class_is_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    append_values(settings.archive_url, FEATURES, ROWS)
    ArchiveTable(settings.archive_url, LABELS).open_or_create()
    with pytest.raises(OneClassError, match="0 of 60 rows are fraud"):
        build(settings)


def test_a_column_without_values_is_refused_by_name(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    values = [row_bytes(n, mean=None if n % 5 == 0 else 1.5) for n in range(DAYS * PER_DAY)]
    append_values(settings.archive_url, FEATURES, values)
    append_values(settings.archive_url, LABELS, LABELLED)
    with pytest.raises(NullShareError, match="user_amount_mean_5m 20"):
        build(settings)


def test_a_label_observed_before_the_event_time_of_its_row_is_refused(settings: Settings) -> None:
    early = encode_label(Label("t14", "m-1", START_MS, START_MS, is_fraud=True))
    append_values(settings.archive_url, FEATURES, [row_bytes(14)], start=len(ROWS))
    append_values(settings.archive_url, LABELS, [early], start=len(LABELLED))
    # t14 also has a correct label, which is the later one; t15 has only the early one.
    assert len(build(settings).table) == 60
    early = encode_label(Label("t15", "m-1", START_MS, START_MS, is_fraud=True))
    append_values(settings.archive_url, LABELS, [early], start=len(LABELLED) + 1)
    with pytest.raises(FutureFeaturesError, match=r"1 of 60 rows .* 't15'"):
        build(settings)
