"""Framing keeps all bytes unchanged; the Java side is tested in tests/e2e."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.velocity.record_frame import (
    Headers,
    InboundRecord,
    decode_headers,
    encode_copy,
    encode_headers,
    encode_record,
)

blobs = st.none() | st.binary(max_size=64)
names = st.text(max_size=8).map(lambda text: text.encode("utf-8", "ignore").decode())


def framed(
    *,
    value: bytes | None = b"{}",
    key: bytes | None = b"u-1",
    headers: Headers = (),
    topic: bytes = b"transactions",
    partition: int = 3,
    offset: int = 42,
    timestamp_ms: int = 1_700_000_000_000,
) -> bytes:
    """A record frame, built from the layout that ``RecordFrame.java`` documents."""
    headers_bytes = encode_headers(headers)
    frame = b"R" + struct.pack(">iqq", partition, offset, timestamp_ms)
    for part in (topic, key, headers_bytes, value):
        frame += struct.pack(">i", -1 if part is None else len(part))
    return frame + topic + (key or b"") + headers_bytes + (value or b"")


@given(blobs, blobs, st.lists(st.tuples(names, blobs), max_size=4))
def test_a_frame_is_decoded_to_the_record_it_was_made_of(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    record = InboundRecord.parse(framed(key=key, value=value, headers=headers))
    assert (record.topic, record.partition, record.offset) == (b"transactions", 3, 42)
    assert record.timestamp_ms == 1_700_000_000_000
    assert record.key == key
    assert record.value == value
    assert record.headers == headers


def test_headers_have_the_layout_of_the_java_side() -> None:
    assert encode_headers([("a", b"bc"), ("d", None)]) == (
        b"\x00\x00\x00\x01\x00\x00\x00\x02abc\x00\x00\x00\x01\xff\xff\xff\xffd"
    )
    assert decode_headers(b"") == []


def test_the_cheap_header_test_misses_no_header() -> None:
    record = InboundRecord.parse(framed(headers=(("a", b"b"), ("weir-replay", b"1"))))
    assert record.may_have_header(b"weir-replay")
    assert not InboundRecord.parse(framed(value=b"weir-replay")).may_have_header(b"weir-replay")


def test_a_copy_keeps_key_value_headers_and_timestamp_and_adds_to_the_headers() -> None:
    record = InboundRecord.parse(framed(key=None, value=b"\x00\xff", headers=(("trace", b"\x01"),)))
    copy = InboundRecord.parse(encode_copy(record, b"dead-letters", [("why", b"bad")]))
    assert (copy.topic, copy.timestamp_ms) == (b"dead-letters", 1_700_000_000_000)
    assert (copy.key, copy.value) == (None, b"\x00\xff")
    assert copy.headers == [("trace", b"\x01"), ("why", b"bad")]


def test_a_record_without_timestamp_leaves_it_to_the_producer() -> None:
    frame = encode_record(b"features", key=b"k", value=b"v", headers_bytes=b"")
    assert InboundRecord.parse(frame).timestamp_ms == -1


@pytest.mark.parametrize("frame", [b"", b"R", b"X" + framed()[1:], framed() + b"x", framed()[:-1]])
def test_bytes_that_are_no_frame_are_refused(frame: bytes) -> None:
    with pytest.raises(ValueError, match="a record frame"):
        InboundRecord.parse(frame)
