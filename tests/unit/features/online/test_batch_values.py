"""Which batch features an event may see, at every edge, and what damaged bytes become."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.batch import BATCH_AGE_MS_MAX, BATCH_FEATURES, BATCH_NAMES, NO_HISTORY
from features.online import batch_values, feast_values
from features.online.batch_values import StoredBatchFeatures, decode_batch_features, unknown
from tests.builders import NOW_MS

STORED = {
    "user_transaction_count_90d_batch": 4,
    "user_amount_mean_90d_batch": 12.5,
    "user_fraud_count_90d_batch": 1,
    "user_fraud_rate_90d_batch": 0.25,
}


def stored(snapshot_ms: int = NOW_MS, **changes: bytes | None) -> list[bytes | None]:
    """As Feast writes it."""
    values: dict[str, bytes | None] = {
        name: feast_values.double_value(value)
        if isinstance(value, float)
        else feast_values.int64_value(value)
        for name, value in STORED.items()
    }
    values |= changes
    return [feast_values.timestamp_value(snapshot_ms), *values.values()]


def opened(snapshot_ms: int | None, complete_ms: int | None) -> StoredBatchFeatures:
    fields = [None] * 5 if snapshot_ms is None else stored(snapshot_ms)
    return decode_batch_features(fields, None if complete_ms is None else b"%d" % complete_ms)


def test_what_feast_writes_is_read() -> None:
    values = opened(NOW_MS, NOW_MS).as_of(NOW_MS)
    assert values == (STORED, NOW_MS, None)
    assert tuple(values.features) == BATCH_NAMES


# snapshot        [--------------------------]        the event is at the right end
#                 event - limit          event
@pytest.mark.parametrize(
    ("age_ms", "word"),
    [
        (-1, batch_values.STALE),
        (0, None),
        (1, None),
        (BATCH_AGE_MS_MAX - 1, None),
        (BATCH_AGE_MS_MAX, None),
        (BATCH_AGE_MS_MAX + 1, batch_values.STALE),
    ],
)
def test_a_snapshot_counts_from_its_moment_up_to_the_limit(age_ms: int, word: str | None) -> None:
    snapshot_ms = NOW_MS - age_ms
    for stored_features in (opened(snapshot_ms, snapshot_ms), opened(snapshot_ms, None)):
        values = stored_features.as_of(NOW_MS)
        if word is None:
            assert values == (STORED, snapshot_ms, None)
        else:
            assert values == (dict.fromkeys(BATCH_NAMES), None, word)


@pytest.mark.parametrize(
    ("age_ms", "word"),
    [
        (-1, batch_values.STALE),
        (0, None),
        (BATCH_AGE_MS_MAX, None),
        (BATCH_AGE_MS_MAX + 1, batch_values.STALE),
    ],
)
def test_a_user_without_values_has_no_history_if_all_others_have_theirs(
    age_ms: int, word: str | None
) -> None:
    complete_ms = NOW_MS - age_ms
    values = opened(None, complete_ms).as_of(NOW_MS)
    if word is None:
        assert values == (NO_HISTORY, complete_ms, None)
    else:
        assert values == unknown(word)


def test_nothing_at_all_is_missing_and_not_no_history() -> None:
    assert opened(None, None).as_of(NOW_MS) == unknown(batch_values.MISSING)


def test_a_user_who_left_the_window_has_no_history_once_the_last_snapshot_is_too_old() -> None:
    last_ms = NOW_MS - BATCH_AGE_MS_MAX
    assert opened(last_ms, NOW_MS).as_of(NOW_MS) == (STORED, NOW_MS, None)
    assert opened(last_ms - 1, NOW_MS).as_of(NOW_MS) == (NO_HISTORY, NOW_MS, None)


def test_a_snapshot_after_the_event_hides_what_was_before_whatever_is_complete() -> None:
    later_ms = NOW_MS + 1
    assert opened(later_ms, NOW_MS).as_of(NOW_MS).degraded == batch_values.STALE
    assert opened(later_ms, later_ms).as_of(NOW_MS).degraded == batch_values.STALE
    # The user's own snapshot is before the event, only the complete one is after it.
    assert opened(NOW_MS, later_ms).as_of(NOW_MS) == (STORED, NOW_MS, None)


def test_in_the_middle_of_a_materialisation_each_user_has_the_newest_values() -> None:
    before_ms = NOW_MS - BATCH_AGE_MS_MAX // 2
    assert opened(NOW_MS, before_ms).as_of(NOW_MS) == (STORED, NOW_MS, None)
    assert opened(before_ms, before_ms).as_of(NOW_MS) == (STORED, before_ms, None)
    assert opened(None, before_ms).as_of(NOW_MS) == (NO_HISTORY, before_ms, None)


def test_no_history_is_no_count_no_rate_and_no_mean() -> None:
    assert [NO_HISTORY[feature.name] for feature in BATCH_FEATURES] == [0, None, 0, 0.0]


@pytest.mark.parametrize("at", range(5))
def test_a_field_that_is_missing_among_others_is_unreadable(at: int) -> None:
    fields = [None if place == at else value for place, value in enumerate(stored())]
    values = decode_batch_features(fields, b"%d" % NOW_MS).as_of(NOW_MS)
    assert values == unknown(batch_values.UNREADABLE)


def test_a_null_of_feast_is_a_null() -> None:
    fields = stored(user_amount_mean_90d_batch=feast_values.NULL_VALUE)
    values = decode_batch_features(fields, None).as_of(NOW_MS)
    assert values.features["user_amount_mean_90d_batch"] is None
    assert values.degraded is None


@given(st.lists(st.none() | st.binary(max_size=12), max_size=6), st.none() | st.binary(max_size=8))
def test_any_bytes_are_values_or_a_reason_and_never_a_crash(
    fields: list[bytes | None], complete: bytes | None
) -> None:
    values = decode_batch_features(fields, complete).as_of(NOW_MS)
    assert (values.as_of_ms is None) == (values.degraded in batch_values.REASONS)
    assert set(values.features) == set(BATCH_NAMES)
