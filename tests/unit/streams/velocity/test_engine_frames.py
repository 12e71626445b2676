"""The bytes between the JVM, Python and the engine are those that the module documents."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from streams.velocity.engine_frames import (
    JournalChange,
    Outcome,
    decode_missing,
    decode_outcome,
    encode_batch,
    encode_journals,
)

keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=128)
blobs = st.binary(max_size=64)
changes = st.builds(JournalChange, st.integers(0, 255), keys, blobs, st.booleans())


def key_bytes(key: str) -> bytes:
    return struct.pack(">H", len(key.encode())) + key.encode()


def change_bytes(change: JournalChange) -> bytes:
    operation = b"R" if change.replaces else b"A"
    head = bytes([change.entity]) + operation + key_bytes(change.key)
    return head + encode_batch([change.entry])


@given(st.lists(changes, max_size=4), st.lists(st.tuples(keys, blobs), max_size=4))
def test_an_outcome_is_read_as_it_was_written(
    changed: list[JournalChange], emitted: list[tuple[str, bytes]]
) -> None:
    data = b"".join(
        (
            struct.pack(">I", len(changed)),
            *map(change_bytes, changed),
            struct.pack(">I", len(emitted)),
            *(key_bytes(key) + encode_batch([element]) for key, element in emitted),
        )
    )
    assert decode_outcome(data) == Outcome(changed, emitted)


@given(st.lists(st.tuples(st.integers(0, 255), keys), max_size=4))
def test_missing_journals_are_read_as_they_were_written(missing: list[tuple[int, str]]) -> None:
    data = struct.pack(">I", len(missing)) + b"".join(
        bytes([entity]) + key_bytes(key) for entity, key in missing
    )
    assert decode_missing(data) == missing


def test_no_bytes_are_no_missing_journal() -> None:
    assert decode_missing(b"") == []


def test_a_journal_is_its_entries_behind_their_lengths() -> None:
    assert encode_journals([[b"S1", b"E"], []]) == (
        b"\x00\x00\x00\x0b\x00\x00\x00\x02S1\x00\x00\x00\x01E\x00\x00\x00\x00"
    )
