"""Which labels are valid, at each limit: one below, on, one above; and how they are written."""

import json
from typing import Any

import pytest

from schemas.codec import decode_label, encode_label
from schemas.errors import InvalidEventError
from schemas.fields import EVENT_TIME_MS_MAX
from schemas.label import Label
from tests.builders import LABEL, LIMITS, NOW_MS, label_object, wire, without
from tests.unit.schemas.field_values import BAD_TEXT, NOT_INTEGER

LABEL_FIELDS = tuple(Label.__slots__)


def decoded_label(obj: Any, *, is_replay: bool = False) -> Label:
    """The label in this JSON, sent now."""
    return decode_label(wire(obj), limits=LIMITS, now_ms=NOW_MS, is_replay=is_replay)


def refused_label(obj: Any, *, is_replay: bool = False) -> InvalidEventError:
    """Why this label is refused; fails when it is not."""
    with pytest.raises(InvalidEventError) as caught:
        decoded_label(obj, is_replay=is_replay)
    return caught.value


def test_a_whole_label_is_read() -> None:
    assert decoded_label(label_object(note="unknown")) == LABEL


@pytest.mark.parametrize("field", LABEL_FIELDS)
def test_a_label_without_a_field_or_with_null_is_refused(field: str) -> None:
    assert refused_label(without(label_object(), field)).field == field
    assert refused_label(label_object(**{field: None})).field == field


@pytest.mark.parametrize("value", [0, 1, "true", 1.0, [], {}])
def test_is_fraud_is_true_or_false_and_nothing_like_it(value: Any) -> None:
    assert refused_label(label_object(is_fraud=value)).field == "is_fraud"


@pytest.mark.parametrize("field", ["event_time_ms", "observed_time_ms"])
@pytest.mark.parametrize("value", NOT_INTEGER, ids=repr)
def test_a_time_of_a_label_that_is_no_json_integer_is_refused(field: str, value: Any) -> None:
    assert refused_label(label_object(**{field: value})).field == field


@pytest.mark.parametrize("field", ["transaction_id", "merchant_id"])
@pytest.mark.parametrize(("value", "why"), BAD_TEXT, ids=ascii)
def test_a_bad_id_of_a_label_is_refused(field: str, value: str, why: str) -> None:
    error = refused_label(label_object(**{field: value}))
    assert error.field == field
    assert why in error.reason


def test_a_label_observed_before_its_transaction_is_refused_even_in_a_replay() -> None:
    time_ms = LABEL.event_time_ms
    for observed_ms in (time_ms, time_ms + 1):
        read = decoded_label(label_object(observed_time_ms=observed_ms))
        assert read.observed_time_ms == observed_ms
    error = refused_label(label_object(observed_time_ms=time_ms - 1), is_replay=True)
    assert error.field == "observed_time_ms"
    assert "before the transaction" in error.reason


def test_a_label_observed_ahead_of_the_clock_is_refused_live_and_read_in_a_replay() -> None:
    limit = NOW_MS + LIMITS.event_ahead_ms_max
    for observed_ms in (limit - 1, limit):
        read = decoded_label(label_object(observed_time_ms=observed_ms))
        assert read.observed_time_ms == observed_ms
    ahead = label_object(observed_time_ms=limit + 1)
    assert refused_label(ahead).field == "observed_time_ms"
    assert decoded_label(ahead, is_replay=True).observed_time_ms == limit + 1


def test_a_label_of_a_transaction_before_the_limit_is_refused() -> None:
    limit = LIMITS.event_time_ms_min
    assert decoded_label(label_object(event_time_ms=limit)).event_time_ms == limit
    assert refused_label(label_object(event_time_ms=limit - 1)).field == "event_time_ms"


def test_a_label_observed_beyond_the_year_9999_is_refused_in_a_replay() -> None:
    last = label_object(observed_time_ms=EVENT_TIME_MS_MAX)
    assert decoded_label(last, is_replay=True).observed_time_ms == EVENT_TIME_MS_MAX
    late = label_object(observed_time_ms=EVENT_TIME_MS_MAX + 1)
    assert refused_label(late, is_replay=True).field == "observed_time_ms"


def test_a_label_comes_back_as_it_was() -> None:
    assert decoded_label(json.loads(encode_label(LABEL))) == LABEL
