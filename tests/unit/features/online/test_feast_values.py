"""Serialised values, against the bytes of Feast 0.67 that were measured, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.online.feast_values import (
    NULL_VALUE,
    bytes_value,
    double_value,
    int64_value,
    read_bytes_value,
    read_number,
    read_timestamp,
    timestamp_value,
)


def test_values_are_the_ones_that_feast_makes() -> None:
    assert int64_value(3).hex() == "2003"
    assert int64_value(0).hex() == "2000"
    assert int64_value(-1).hex() == "20ffffffffffffffffff01"
    assert double_value(0.0).hex() == "290000000000000000"
    assert bytes_value(b"\x00\xff").hex() == "0a0200ff"
    assert timestamp_value(1_795_392_000_123, extra_ns=456_000).hex() == "0880848ed806108094ef3a"


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=300),
    st.integers(-(10**15), 10**15),
)
def test_a_value_that_was_written_is_read(
    whole: int, number: float, data: bytes, time_ms: int
) -> None:
    assert read_number(int64_value(whole)) == whole
    assert read_number(double_value(number)) == number
    assert read_number(NULL_VALUE) is None
    assert read_bytes_value(bytes_value(data)) == data
    assert read_timestamp(timestamp_value(time_ms)) == time_ms


@pytest.mark.parametrize(
    "data", [b"\x0a\x01a", b"\x20", b"\x20\x03\x00", b"\x29\x00", b"\x20" + b"\xff" * 9 + b"\x7f"]
)
def test_what_is_no_number_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        read_number(data)


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05ab", b"\x0a\x01ab", b"\x12\x01a"])
def test_what_are_no_bytes_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        read_bytes_value(data)
