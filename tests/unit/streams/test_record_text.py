"""The framing keeps any bytes as they came; the JVM's half is tested in tests/e2e."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.record_text import (
    InboundRecord,
    decode_blob,
    decode_headers,
    encode_blob,
    encode_copy,
    encode_headers,
    encode_record,
)

blobs = st.none() | st.binary(max_size=64)


def inbound(
    *,
    value: bytes | None = b"{}",
    key: bytes | None = b"u-1",
    headers: tuple[tuple[str, bytes], ...] = (),
) -> InboundRecord:
    """A record as ``RecordText.java`` would frame it."""
    fields = ("transactions", "3", "42", "1700000000000", encode_blob(key))
    text = "\x1f".join((*fields, encode_headers(headers), encode_blob(value)))
    return InboundRecord.parse(text)


@given(blobs)
def test_any_bytes_survive_the_crossing(data: bytes | None) -> None:
    assert decode_blob(encode_blob(data)) == data


@given(st.binary(max_size=64))
def test_text_that_crosses_has_no_character_that_jni_would_change(data: bytes) -> None:
    # JNI's modified UTF-8 changes NUL and everything beyond the basic plane; the framing owns
    # the control characters.
    assert all(c in "\t\n\r" or 0x20 <= ord(c) <= 0xFF for c in encode_blob(data))


@given(blobs, blobs)
def test_a_record_is_read_as_it_was_framed(key: bytes | None, value: bytes | None) -> None:
    record = inbound(key=key, value=value)
    assert (record.topic, record.partition, record.offset) == ("transactions", 3, 42)
    assert record.timestamp_ms == 1_700_000_000_000
    assert decode_blob(record.key_text) == key
    assert record.value == value


@given(st.lists(st.tuples(st.text(max_size=8), blobs), max_size=4))
def test_headers_survive_in_their_order_with_repeats(
    headers: list[tuple[str, bytes | None]],
) -> None:
    clean = [(name.encode("utf-8", "ignore").decode(), value) for name, value in headers]
    assert decode_headers(encode_headers(clean)) == clean


def test_a_header_that_is_there_is_never_missed() -> None:
    record = inbound(headers=(("a", b"b"), ("weir-replay", b"1")))
    assert record.may_have_header("weir-replay")
    assert record.headers == [("a", b"b"), ("weir-replay", b"1")]
    assert not inbound(value=b"weir-replay").may_have_header("weir-replay")


def test_a_copy_keeps_key_value_headers_and_timestamp_and_adds_to_the_headers() -> None:
    record = inbound(key=None, value=b"\x00\xff", headers=(("trace", b"\x01"),))
    copy = encode_copy(record, "dead-letters", [("why", b"bad")])
    topic, _, _, timestamp, key, headers, value = copy.split("\x1f", 6)
    assert (topic, timestamp) == ("dead-letters", "1700000000000")
    assert (decode_blob(key), decode_blob(value)) == (None, b"\x00\xff")
    assert headers == encode_headers([("trace", b"\x01"), ("why", b"bad")])


def test_a_record_without_timestamp_leaves_it_to_the_producer() -> None:
    text = encode_record("features", key=b"k", value=b"v", headers=())
    assert text.split("\x1f")[3] == ""


def test_a_blob_of_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="starts with -, = or ~, not '!'"):
        decode_blob("!x")
