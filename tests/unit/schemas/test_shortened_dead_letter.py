"""Dead letters that are too large: what is left out, what describes it, and that the rest fits."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dead_letter import dead_letter_headers, read_dead_letter
from schemas.errors import InvalidEventError
from schemas.shortened_dead_letter import (
    HEAD_BYTES_MAX,
    HEADER_SHORTENED,
    HEADERS_MAX,
    PARTS,
    SHORTENED_HEADERS,
    DeadLetterParts,
    Header,
    check_value_is_there,
    encoded_headers,
    record_size,
    shortened,
)
from schemas.topics import read_header

LIMIT = 100_000
MIB = 1024 * 1024


def letter(
    key: bytes | None = b"k", value: bytes | None = b"v", headers: tuple[Header, ...] = ()
) -> DeadLetterParts:
    error = InvalidEventError("amount_minor", "is -1, limit 0")
    reason = dead_letter_headers(
        topic="transactions", partition=1, offset=2, stage="decode", error=error
    )
    return DeadLetterParts(key, [*headers, *reason], value)


def test_a_dead_letter_that_fits_is_not_changed() -> None:
    whole = letter(value=b"v" * 1_000)
    assert shortened(whole, bytes_max=record_size(whole)) is whole
    assert shortened(whole, bytes_max=record_size(whole) - 1) is not whole


@pytest.mark.parametrize("part", PARTS)
def test_the_largest_part_is_described_and_the_others_are_kept(part: str) -> None:
    large = bytes(range(256)) * 4096
    headers: tuple[Header, ...] = (("trace", large if part == "headers" else b"1"), ("empty", None))
    whole = letter(
        key=large if part == "key" else b"k",
        value=large if part == "value" else b"v",
        headers=headers,
    )
    content = encoded_headers(headers) if part == "headers" else large
    short = shortened(whole, bytes_max=LIMIT)
    assert record_size(short) <= LIMIT
    assert read_header(short.headers, HEADER_SHORTENED) == part.encode()
    assert read_header(short.headers, f"weir-{part}-length") == b"%d" % len(content)
    digest = hashlib.sha256(content).hexdigest().encode()
    assert read_header(short.headers, f"weir-{part}-sha256") == digest
    assert read_header(short.headers, f"weir-{part}-head") == content[:HEAD_BYTES_MAX]
    assert (short.key, short.value) == (
        None if part == "key" else b"k",
        None if part == "value" else b"v",
    )
    kept = [pair for pair in short.headers if pair in headers]
    assert kept == ([] if part == "headers" else list(headers))
    assert read_dead_letter(short.headers) == read_dead_letter(whole.headers)


def test_parts_are_left_out_from_the_largest_on_until_the_rest_fits() -> None:
    whole = letter(key=b"k" * 60_000, value=b"v" * 3 * MIB, headers=(("a", b"h" * 2 * MIB),))
    short = shortened(whole, bytes_max=LIMIT)
    assert read_header(short.headers, HEADER_SHORTENED) == b"headers,value"
    assert short.key == whole.key
    shorter = shortened(whole, bytes_max=50_000)
    assert read_header(shorter.headers, HEADER_SHORTENED) == b"key,headers,value"
    assert set(dict(shorter.headers)) >= SHORTENED_HEADERS.keys()


def test_in_a_small_topic_the_first_bytes_are_left_out_as_well() -> None:
    whole = letter(key=b"k" * 5_000, value=b"v" * 5_000)
    short = shortened(whole, bytes_max=1_500)
    assert record_size(short) <= 1_500
    assert read_header(short.headers, "weir-value-length") == b"5000"
    assert read_header(short.headers, "weir-value-head") is None


def test_too_many_headers_are_left_out_whatever_their_size() -> None:
    value = b"v" * MIB
    headers = tuple((f"h{n}", None) for n in range(HEADERS_MAX))
    assert shortened(letter(value=value, headers=headers), bytes_max=2 * MIB).value == value
    whole = letter(value=value, headers=(*headers, ("one more", None)))
    short = shortened(whole, bytes_max=2 * MIB)
    assert read_header(short.headers, HEADER_SHORTENED) == b"headers"
    assert len(short.headers) == 10
    assert short.value == value


@given(
    st.none() | st.binary(max_size=5_000),
    st.none() | st.binary(max_size=5_000),
    st.lists(st.tuples(st.text(max_size=20), st.none() | st.binary(max_size=500)), max_size=10),
)
def test_every_record_fits_a_topic_for_small_ones(
    key: bytes | None, value: bytes | None, headers: list[Header]
) -> None:
    short = shortened(letter(key, value, tuple(headers)), bytes_max=2_500)
    assert record_size(short) <= 2_500


def test_a_record_whose_value_was_left_out_is_refused_with_its_length() -> None:
    left_out = [("weir-value-length", b"20000000")]
    with pytest.raises(InvalidEventError, match="the value has 20000000 bytes, limit 1048576"):
        check_value_is_there(None, left_out)
    check_value_is_there(b"{}", left_out)
    check_value_is_there(None, [("trace", b"1")])
