"""The bytes of a state: round trips, widths, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracle import state_bytes
from tests.oracle.state_bytes import (
    Form,
    Header,
    StateBytesError,
    StateReader,
    pack_header,
    pack_instants,
    pack_ints,
    pack_texts,
)

HEADER = Header(kind=b"u", form=Form.DURABLE, sequence=3, newest_ms=-5)
texts = st.text(st.characters(codec="utf-8"), max_size=5)


def reader_of(*sections: bytes, header: Header = HEADER) -> StateReader:
    return StateReader(pack_header(header) + b"".join(sections), kind=b"u")


@given(
    st.lists(st.integers(0, 2**128 - 1)),
    st.lists(texts),
    st.lists(st.integers(-(2**63), 2**63 - 1)),
)
def test_what_is_written_is_read(ints: list[int], words: list[str], instants: list[int]) -> None:
    with reader_of(pack_ints(ints), pack_texts(words), pack_instants(instants)) as reader:
        assert reader.header == HEADER
        assert (reader.ints(), reader.texts(), reader.instants()) == (ints, words, instants)


@pytest.mark.parametrize(
    ("largest", "width"),
    [
        (0, 1),
        (2**8 - 1, 1),
        (2**8, 2),
        (2**16 - 1, 2),
        (2**16, 4),
        (2**32 - 1, 4),
        (2**32, 8),
        (2**64 - 1, 8),
        (2**64, 16),
        (2**128 - 1, 16),
    ],
)
def test_integers_are_as_narrow_as_the_largest_allows(largest: int, width: int) -> None:
    packed = pack_ints([0, largest])
    assert len(packed) == len(pack_ints([])) + 2 * width
    assert reader_of(packed).ints() == [0, largest]


@pytest.mark.parametrize("value", [-1, 2**128])
def test_integers_out_of_range_are_refused(value: int) -> None:
    with pytest.raises(ValueError, match="limits"):
        pack_ints([0, value])


def test_a_key_without_events_has_no_newest_time() -> None:
    header = HEADER._replace(newest_ms=None, form=Form.ONLINE)
    assert reader_of(header=header).header == header


def test_the_layout_is_little_endian_and_does_not_change_by_accident() -> None:
    assert pack_ints([1, 258]).hex() == "02020000000100" + "0201"
    assert pack_texts(["é", "b"]).hex() == "01030000000301" + "01" + "c3a962"
    assert pack_instants([-1]).hex() == "0801000000" + "ff" * 8


def test_a_state_of_other_definitions_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_bytes, "_DIGEST", bytes(8))
    foreign = pack_header(HEADER)
    monkeypatch.undo()
    with pytest.raises(StateBytesError, match="definitions '0000000000000000', this process has"):
        StateReader(foreign, kind=b"u")


def test_another_format_kind_or_thing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_bytes, "FORMAT_VERSION", 2)
    newer = pack_header(HEADER)
    monkeypatch.undo()
    for data in (newer, pack_header(HEADER._replace(kind=b"m")), b"PK" + pack_header(HEADER)[2:]):
        with pytest.raises(StateBytesError, match="rebuild the state"):
            StateReader(data, kind=b"u")


@given(st.integers(0, 200))
def test_bytes_that_end_too_early_are_refused_wherever(size: int) -> None:
    data = pack_header(HEADER) + pack_ints([2**100]) + pack_texts(["abc"]) + pack_instants([1])

    def read() -> None:
        with StateReader(data[:size], kind=b"u") as reader:
            reader.ints()
            reader.texts()
            reader.instants()

    if size < len(data):
        with pytest.raises(StateBytesError):
            read()
    else:
        read()


def test_bytes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(StateBytesError, match="3 bytes wide"):
        reader_of(b"\x03\x01\x00\x00\x00abc").ints()
    with pytest.raises(StateBytesError, match="UTF-8"):
        reader_of(pack_ints([1, 1]) + b"\xff").texts()
    with pytest.raises(StateBytesError, match="text"):
        reader_of(pack_ints([])).texts()
    with pytest.raises(StateBytesError, match="expected"), reader_of(b"\x00"):
        pass
    with pytest.raises(StateBytesError, match="do not fit together: one is short"):  # noqa: SIM117
        with reader_of():
            raise ValueError("one is short")


@pytest.mark.parametrize("form", [0, 4])
def test_an_unknown_form_is_refused(form: int) -> None:
    data = bytearray(pack_header(HEADER))
    data[4] = form
    with pytest.raises(StateBytesError, match=f"form {form}"):
        StateReader(bytes(data), kind=b"u")
