"""One error names every wrong field, in the order and the words of the codec, within a length."""

import json
from typing import Any

import pytest

from schemas.codec import decode_label, decode_transaction
from schemas.dead_letter import MESSAGE_LENGTH_MAX
from schemas.errors import InvalidEventError
from schemas.faults import error_of_all_fields
from schemas.label import Label
from schemas.transaction import Transaction
from tests.builders import LABEL, LIMITS, NOW_MS, label_object, transaction_object, wire

DECODERS = {Transaction: decode_transaction, Label: decode_label}


def refused(kind: type, obj: Any, *, is_replay: bool = False) -> InvalidEventError:
    with pytest.raises(InvalidEventError) as caught:
        DECODERS[kind](wire(obj), limits=LIMITS, now_ms=NOW_MS, is_replay=is_replay)
    return caught.value


def test_every_wrong_field_is_named_with_its_own_words_in_the_order_of_the_event() -> None:
    wrong = {"user_id": "", "amount_minor": -1, "currency": "USD", "event_time_ms": 5}
    alone = [refused(Transaction, transaction_object(**{key: wrong[key]})) for key in wrong]
    error = refused(Transaction, transaction_object(**wrong))
    assert str(error) == "; and ".join(map(str, alone))
    assert error.field == "user_id"


@pytest.mark.parametrize("kind", [Transaction, Label])
def test_of_an_event_without_fields_each_one_that_is_required_is_named(kind: type) -> None:
    error = refused(kind, {})
    required = [name for name in kind.__slots__ if name not in ("device_type", "ip_country")]
    assert [text.split()[0] for text in str(error).split("; and ")] == required
    assert error.field == "transaction_id"


@pytest.mark.parametrize("kind", [Transaction, Label])
def test_of_an_event_whose_fields_are_all_wrong_each_one_is_named(kind: type) -> None:
    error = refused(kind, {name: [] for name in kind.__slots__})
    assert [text.split()[0] for text in str(error).split("; and ")] == list(kind.__slots__)


def test_a_message_is_not_longer_than_its_limit_and_still_names_every_field() -> None:
    fields: dict[str, Any] = dict.fromkeys(Transaction.__slots__, "\x01" * 60)
    fields |= {"amount_minor": -(2**250), "event_time_ms": 10**60}
    message = str(refused(Transaction, fields))
    assert len(message) <= MESSAGE_LENGTH_MAX
    assert [name for name in Transaction.__slots__ if name not in message] == []
    assert message.endswith("; also wrong: ip_country")


def test_a_wrong_event_time_is_not_compared_with_the_time_of_the_report() -> None:
    early = label_object(event_time_ms="yesterday", observed_time_ms=5)
    assert str(refused(Label, early)) == (
        "event_time_ms is 'yesterday', must be a JSON integer, without fraction, exponent or quotes"
    )


def test_a_label_ahead_of_the_clock_and_without_a_merchant_names_both() -> None:
    ahead = label_object(merchant_id=None, observed_time_ms=LABEL.observed_time_ms + 10**9)
    error = refused(Label, ahead)
    assert error.field == "merchant_id"
    assert "; and observed_time_ms is" in error.reason


def test_a_fault_of_the_whole_value_is_the_only_one() -> None:
    with pytest.raises(InvalidEventError) as caught:
        decode_transaction(json.dumps([1]).encode(), limits=LIMITS, now_ms=NOW_MS, is_replay=False)
    assert caught.value.field is None
    assert str(caught.value) == "the value must be a JSON object, is a list"


def test_a_field_that_stays_wrong_ends_the_search() -> None:
    def read(obj: Any) -> None:
        raise InvalidEventError("a", f"is {obj['a']}")

    error = error_of_all_fields(read, {"a": 1}, valid={"a": 2})
    assert str(error) == "a is 1"
