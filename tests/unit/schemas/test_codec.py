"""Which transactions are valid, below, on and above each limit, and how they are written."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.codec import (
    check_id,
    decode_label,
    decode_transaction,
    encode_label,
    encode_transaction,
    transaction_from_object,
)
from schemas.errors import InvalidEventError
from schemas.fields import EVENT_TIME_MS_MAX
from schemas.json_schema import all_schemas
from schemas.topics import INPUT_BYTES_MAX
from schemas.transaction import Transaction
from tests.builders import (
    LABEL,
    LIMITS,
    NOW_MS,
    TRANSACTION,
    transaction,
    transaction_object,
    wire,
    without,
)
from tests.unit.schemas.field_values import BAD_TEXT, GOOD_TEXT, NOT_INTEGER, NOT_TEXT

IDS = ("transaction_id", "user_id", "merchant_id")
REQUIRED = (*IDS, "amount_minor", "currency", "event_time_ms")
OPTIONAL = ("device_type", "ip_country")
TRANSACTION_VALIDATOR = Draft202012Validator(all_schemas()["transaction"])


def decoded(obj: Any, *, is_replay: bool = False) -> Transaction:
    """The transaction in this JSON, sent now."""
    return decode_transaction(wire(obj), limits=LIMITS, now_ms=NOW_MS, is_replay=is_replay)


def refused(obj: Any, *, is_replay: bool = False) -> InvalidEventError:
    """Why this transaction is refused; fails when it is not."""
    with pytest.raises(InvalidEventError) as caught:
        decoded(obj, is_replay=is_replay)
    return caught.value


def test_a_whole_transaction_is_read() -> None:
    assert decoded(transaction_object()) == TRANSACTION


def test_optional_fields_may_be_absent_or_null() -> None:
    bare = transaction(device_type=None, ip_country=None)
    assert decoded(without(without(transaction_object(), "device_type"), "ip_country")) == bare
    assert decoded(transaction_object(device_type=None, ip_country=None)) == bare


def test_unknown_fields_are_left_aside() -> None:
    extra = {"note": "hi", "nested": {"user_id": "another"}, "USER_ID": 1, "": None, "rate": 1e300}
    assert decoded(transaction_object(**extra)) == TRANSACTION


def test_the_order_of_the_fields_does_not_matter() -> None:
    assert decoded(dict(reversed(transaction_object().items()))) == TRANSACTION


@pytest.mark.parametrize("field", REQUIRED)
def test_a_transaction_without_a_required_field_is_refused(field: str) -> None:
    error = refused(without(transaction_object(), field))
    assert error.field == field
    assert "missing" in error.reason


@pytest.mark.parametrize("field", REQUIRED)
def test_null_is_no_value_for_a_required_field(field: str) -> None:
    error = refused(transaction_object(**{field: None}))
    assert error.field == field
    assert "null" in error.reason


@pytest.mark.parametrize("field", [*IDS, "currency", *OPTIONAL])
@pytest.mark.parametrize("value", NOT_TEXT, ids=repr)
def test_a_text_field_with_another_type_is_refused(field: str, value: Any) -> None:
    error = refused(transaction_object(**{field: value}))
    assert error.field == field
    assert "must be text" in error.reason


@pytest.mark.parametrize("field", [*IDS, "device_type"])
@pytest.mark.parametrize(("value", "why"), BAD_TEXT, ids=ascii)
def test_blank_text_control_characters_and_lone_surrogates_are_refused(
    field: str, value: str, why: str
) -> None:
    error = refused(transaction_object(**{field: value}))
    assert error.field == field
    assert why in error.reason


@pytest.mark.parametrize("value", GOOD_TEXT, ids=ascii)
def test_any_other_text_is_an_id_and_is_kept_as_it_came(value: str) -> None:
    assert decoded(transaction_object(user_id=value, device_type=value)).user_id == value


@pytest.mark.parametrize(("field", "length_max"), [*((i, 128) for i in IDS), ("device_type", 64)])
@pytest.mark.parametrize("character", ["a", "é", "\U0001f600", "\u200d"], ids=ascii)
def test_text_one_below_the_limit_and_on_it_is_read_one_above_is_refused(
    field: str, length_max: int, character: str
) -> None:
    # The limit counts code points: one emoji of four bytes, two UTF-16 units, counts once.
    for length in (1, length_max - 1, length_max):
        text = character * length
        assert getattr(decoded(transaction_object(**{field: text})), field) == text
    error = refused(transaction_object(**{field: character * (length_max + 1)}))
    assert error.field == field
    assert f"{length_max + 1} characters, limit {length_max}" in error.reason


@pytest.mark.parametrize("field", ["amount_minor", "event_time_ms"])
@pytest.mark.parametrize("value", NOT_INTEGER, ids=repr)
def test_a_number_that_is_no_json_integer_is_refused(field: str, value: Any) -> None:
    error = refused(transaction_object(**{field: value}))
    assert error.field == field
    assert "JSON integer" in error.reason


@pytest.mark.parametrize("literal", ["12.0", "1e2", "1E2", "-0.0", "1e400", '"12"'])
def test_an_integer_written_with_fraction_exponent_or_quotes_is_refused(literal: str) -> None:
    value = wire(transaction_object()).replace(b"1999", literal.encode())
    with pytest.raises(InvalidEventError) as caught:
        decode_transaction(value, limits=LIMITS, now_ms=NOW_MS, is_replay=False)
    assert caught.value.field == "amount_minor"


def test_an_amount_outside_zero_and_its_limit_is_refused() -> None:
    limit = LIMITS.amount_minor_max
    for amount in (0, 1, limit - 1, limit):
        assert decoded(transaction_object(amount_minor=amount)).amount_minor == amount
    for amount in (-1, limit + 1, 2**63, 2**64, -(2**64), 10**400):
        assert refused(transaction_object(amount_minor=amount)).field == "amount_minor"
    assert f"amount_minor_max={limit}" in refused(transaction_object(amount_minor=limit + 1)).reason


def test_minus_zero_is_zero() -> None:
    value = wire(transaction_object()).replace(b"1999", b"-0")
    read = decode_transaction(value, limits=LIMITS, now_ms=NOW_MS, is_replay=False)
    assert read.amount_minor == 0


@pytest.mark.parametrize("is_replay", [False, True])
def test_an_event_time_before_its_limit_is_refused_in_a_replay_too(is_replay: bool) -> None:
    limit = LIMITS.event_time_ms_min
    for time_ms in (limit, limit + 1):
        obj = transaction_object(event_time_ms=time_ms)
        assert decoded(obj, is_replay=is_replay).event_time_ms == time_ms
    for time_ms in (limit - 1, 0, -1, 1_700_000_000):
        error = refused(transaction_object(event_time_ms=time_ms), is_replay=is_replay)
        assert error.field == "event_time_ms"


def test_an_event_time_more_than_five_minutes_ahead_is_refused_live_and_read_in_a_replay() -> None:
    limit = NOW_MS + 300_000
    for time_ms in (limit - 1, limit):
        assert decoded(transaction_object(event_time_ms=time_ms)).event_time_ms == time_ms
    ahead = transaction_object(event_time_ms=limit + 1)
    error = refused(ahead)
    assert error.field == "event_time_ms"
    assert "300001 ms ahead of the clock, limit event_ahead_ms_max=300000" in error.reason
    assert decoded(ahead, is_replay=True).event_time_ms == limit + 1


def test_a_replayed_event_is_at_most_a_day_ahead_of_its_record_whatever_the_clock_says() -> None:
    record_ms = NOW_MS - 1_000_000_000
    for ahead_ms, is_valid in ((86_399_999, True), (86_400_000, True), (86_400_001, False)):
        body = wire(transaction_object(event_time_ms=record_ms + ahead_ms))
        for now_ms in (0, NOW_MS, EVENT_TIME_MS_MAX):
            arguments = {"limits": LIMITS, "now_ms": now_ms, "record_ms": record_ms}
            if is_valid:
                assert decode_transaction(body, is_replay=True, **arguments)
                continue
            with pytest.raises(InvalidEventError, match="86400001 ms ahead of Kafka's") as caught:
                decode_transaction(body, is_replay=True, **arguments)
            assert caught.value.field == "event_time_ms"
            assert "replay_ahead_ms_max=86400000" in str(caught.value)
    # Live traffic is compared with the clock alone.
    assert decode_transaction(body, limits=LIMITS, now_ms=NOW_MS, is_replay=False, record_ms=0)


def test_no_replay_goes_beyond_the_year_9999() -> None:
    last = transaction_object(event_time_ms=EVENT_TIME_MS_MAX)
    assert decoded(last, is_replay=True).event_time_ms == EVENT_TIME_MS_MAX
    for time_ms in (EVENT_TIME_MS_MAX + 1, 2**63, 10**4_000):
        error = refused(transaction_object(event_time_ms=time_ms), is_replay=True)
        assert error.field == "event_time_ms"


@pytest.mark.parametrize("currency", ["USD", "GBP", "XXX"])
def test_another_currency_is_refused_with_that_reason(currency: str) -> None:
    error = refused(transaction_object(currency=currency))
    assert error.field == "currency"
    assert (
        str(error)
        == f"currency is '{currency}', this deployment settles in EUR only (WEIR_CURRENCY)"
    )


def test_the_settlement_currency_is_the_one_of_the_limits() -> None:
    limits = replace(LIMITS, currency="USD")
    obj = transaction_object(currency="USD")
    read = transaction_from_object(obj, limits=limits, now_ms=NOW_MS, is_replay=False)
    assert read.currency == "USD"


@pytest.mark.parametrize(
    "currency", ["", "EU", "EURO", "eur", "Eur", "978", "EUR\n", "\uff25\uff35\uff32", " EUR"]
)
def test_a_currency_that_is_no_iso_4217_code_is_refused(currency: str) -> None:
    error = refused(transaction_object(currency=currency))
    assert error.field == "currency"
    assert "ISO 4217" in error.reason


@pytest.mark.parametrize("country", ["", "D", "DEU", "de", "D1", "DE\n", "\uff24\uff25", "🇩🇪"])
def test_a_country_that_is_no_iso_3166_code_is_refused(country: str) -> None:
    error = refused(transaction_object(ip_country=country))
    assert error.field == "ip_country"
    assert "ISO 3166-1" in error.reason


def test_a_field_given_twice_is_refused_even_with_the_same_value() -> None:
    value = wire(transaction_object())
    twice = value[:-1] + b', "amount_minor": 1999}'
    with pytest.raises(InvalidEventError, match="gives the field 'amount_minor' twice"):
        decode_transaction(twice, limits=LIMITS, now_ms=NOW_MS, is_replay=False)


@pytest.mark.parametrize("value", [None, b"", b"null", b"[]", b"\xef\xbb\xbf{}", b"{" * 5_000])
def test_what_is_no_json_object_is_neither_transaction_nor_label(value: bytes | None) -> None:
    for decode in (decode_transaction, decode_label):
        with pytest.raises(InvalidEventError):
            decode(value, limits=LIMITS, now_ms=NOW_MS, is_replay=True)


def test_an_object_that_is_already_parsed_follows_the_same_rules() -> None:
    read = transaction_from_object(
        transaction_object(), limits=LIMITS, now_ms=NOW_MS, is_replay=False
    )
    assert read == TRANSACTION
    with pytest.raises(InvalidEventError):
        transaction_from_object(
            transaction_object(amount_minor=1.0), limits=LIMITS, now_ms=NOW_MS, is_replay=False
        )


def test_an_id_by_itself_follows_the_rule_of_ids() -> None:
    assert check_id("u-1", field="user_id") == "u-1"
    with pytest.raises(InvalidEventError) as caught:
        check_id("\x00", field="user_id")
    assert caught.value.field == "user_id"


def test_an_error_shows_a_long_value_shortened() -> None:
    error = refused(transaction_object(user_id="x" * 100_000))
    assert len(str(error)) < 200


# --- there and back --------------------------------------------------------------------


def test_a_transaction_is_written_in_the_order_of_its_fields() -> None:
    encoded = encode_transaction(TRANSACTION)
    assert list(json.loads(encoded)) == list(Transaction.__slots__)
    assert decoded(json.loads(encoded)) == TRANSACTION


def test_optional_fields_without_value_are_not_written() -> None:
    encoded = encode_transaction(transaction(device_type=None, ip_country=None))
    assert list(json.loads(encoded)) == list(REQUIRED)


# --- anything at all -------------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
almost_transactions = st.dictionaries(
    st.sampled_from([*REQUIRED, *OPTIONAL, "other"]), anything, max_size=3
).map(lambda changes: transaction_object(**changes))


@given(st.binary(max_size=300))
@example(b'{"transaction_id":"\\ud800"}')
@example(b"\x00")
def test_any_bytes_are_a_transaction_or_an_invalid_event(value: bytes) -> None:
    try:
        decode_transaction(value, limits=LIMITS, now_ms=NOW_MS, is_replay=False)
    except InvalidEventError as error:
        str(error).encode()  # A reason can always be sent.


@given(st.data())
def test_a_transaction_with_damaged_bytes_is_a_transaction_or_an_invalid_event(
    data: st.DataObject,
) -> None:
    value = bytearray(encode_transaction(TRANSACTION))
    for _ in range(data.draw(st.integers(1, 3))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    for decode in (decode_transaction, decode_label):
        try:
            decode(bytes(value), limits=LIMITS, now_ms=NOW_MS, is_replay=False)
        except InvalidEventError as error:
            str(error).encode()


@given(almost_transactions)
def test_what_the_codec_reads_its_json_schema_takes_and_is_written_as_it_was(
    obj: dict[str, Any],
) -> None:
    try:
        read = decoded(obj)
    except InvalidEventError as error:
        str(error).encode()
        return
    TRANSACTION_VALIDATOR.validate(obj)
    given_fields = {name: obj.get(name) for name in (*REQUIRED, *OPTIONAL)}
    assert {name: getattr(read, name) for name in given_fields} == given_fields
    assert decoded(json.loads(encode_transaction(read))) == read


@pytest.mark.parametrize("decode", [decode_transaction, decode_label])
def test_a_value_of_the_largest_size_is_read_a_larger_one_is_refused(
    decode: Callable[..., object],
) -> None:
    event = encode_transaction(TRANSACTION) if decode is decode_transaction else encode_label(LABEL)
    note = b"y" * (INPUT_BYTES_MAX - len(event) - len(b',"note":""'))
    largest = b'%b,"note":"%b"}' % (event[:-1], note)
    assert len(largest) == INPUT_BYTES_MAX
    decode(largest, limits=LIMITS, now_ms=NOW_MS, is_replay=True)
    with pytest.raises(InvalidEventError, match="the value has 1048577 bytes, limit 1048576"):
        decode(largest + b" ", limits=LIMITS, now_ms=NOW_MS, is_replay=True)
