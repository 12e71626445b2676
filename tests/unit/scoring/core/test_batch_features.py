"""One read of the batch features of all users of a batch, and none for a model that takes none."""

import asyncio

from features.batch import BATCH_NAMES, BATCH_VIEW, NO_HISTORY
from features.online import feast_values
from features.online import layout as online_store
from features.online.batch_values import BatchValues
from scoring.core.batch_features import read_batch_values
from tests.builders import NOW_MS
from tests.scoring_fakes import FixedModel, MemoryBatchReader

WITH_BATCH = FixedModel(0.5, batch_columns=BATCH_NAMES)


def event_of(user_id: str, *, event_time_ms: int = NOW_MS) -> tuple[str, int]:
    return user_id, event_time_ms


def read(
    reader: MemoryBatchReader, *events: tuple[str, int], model: FixedModel = WITH_BATCH
) -> list[BatchValues] | None:
    return asyncio.run(read_batch_values(reader, events, model=model))


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
    events = [event_of("a"), event_of("b"), event_of("a", event_time_ms=NOW_MS - 1), event_of("a")]
    values = read(reader, *events)
    assert reader.calls == [["a", "b"]]
    assert values is not None
    known = dict.fromkeys(BATCH_NAMES, 3)
    assert [each.features for each in values if each.degraded is None] == [known, NO_HISTORY, known]
    assert [each.degraded for each in values] == [None, None, "batch_features_stale", None]


def test_a_model_that_takes_none_costs_no_read() -> None:
    reader = MemoryBatchReader()
    assert read(reader, event_of("a"), model=FixedModel(0.5)) is None
    assert reader.calls == []


def test_without_events_nobody_is_asked_for() -> None:
    reader = MemoryBatchReader()
    assert read(reader) is None
    assert reader.calls == []


def test_a_store_that_is_away_gives_none() -> None:
    reader = MemoryBatchReader()
    reader.is_away = True
    assert read(reader, event_of("a")) is None
