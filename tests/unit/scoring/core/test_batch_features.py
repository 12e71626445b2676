"""One read of the batch features of all users of a batch, and none for a model that takes none."""

import asyncio
from dataclasses import replace

from features.batch import BATCH_NAMES, BATCH_VIEW, NO_HISTORY
from features.online import feast_values
from features.online import layout as online_store
from features.online.batch_values import BatchValues
from schemas.feature_row import FeatureRow
from scoring.core.batch_features import read_batch_values
from tests.builders import NOW_MS, transaction
from tests.scoring_fakes import FixedModel, MemoryBatchReader, feature_row

WITH_BATCH = FixedModel(0.5, batch_columns=BATCH_NAMES)


def row_of(user_id: str, *, event_time_ms: int = NOW_MS) -> FeatureRow:
    event = transaction(user_id=user_id, event_time_ms=event_time_ms)
    return replace(feature_row(), transaction=event)


def read(
    reader: MemoryBatchReader, *rows: FeatureRow, model: FixedModel = WITH_BATCH
) -> list[BatchValues] | None:
    return asyncio.run(read_batch_values(reader, rows, model=model))


def counts_of(snapshot_ms: int, count: int) -> dict[bytes, bytes]:
    """As Feast writes a user's hash."""
    return {
        online_store.timestamp_field(BATCH_VIEW): feast_values.timestamp_value(snapshot_ms),
        **{
            online_store.field_name(BATCH_VIEW, name): feast_values.int64_value(count)
            for name in BATCH_NAMES
        },
    }


def test_each_user_is_asked_for_once_and_each_event_judged_by_its_own_time() -> None:
    reader = MemoryBatchReader()
    reader.users["a"] = counts_of(NOW_MS, 3)
    reader.complete = b"%d" % NOW_MS
    rows = [row_of("a"), row_of("b"), row_of("a", event_time_ms=NOW_MS - 1), row_of("a")]
    values = read(reader, *rows)
    assert reader.calls == [["a", "b"]]
    assert values is not None
    known = dict.fromkeys(BATCH_NAMES, 3)
    assert [each.features for each in values if each.degraded is None] == [known, NO_HISTORY, known]
    assert [each.degraded for each in values] == [None, None, "batch_features_stale", None]


def test_a_model_that_takes_none_costs_no_read() -> None:
    reader = MemoryBatchReader()
    assert read(reader, row_of("a"), model=FixedModel(0.5)) is None
    assert reader.calls == []


def test_without_rows_nobody_is_asked_for() -> None:
    reader = MemoryBatchReader()
    assert read(reader) is None
    assert reader.calls == []


def test_a_store_that_is_away_gives_none() -> None:
    reader = MemoryBatchReader()
    reader.is_away = True
    assert read(reader, row_of("a")) is None
