"""The bytes between an operator in the JVM, the stage in Python and the native engine.

    batch     (length i32, element)*                                 element: a record frame or item
    missing   count u32, (entity u8, key)*                           journals to read
    journals  (length i32, (length i32, entry)*)*                    in the order of ``missing``
    outcome   count u32, (entity u8, 'A' or 'R', key, length i32, entry)*
              count u32, (key, length i32, element)*                 a key: length u16, UTF-8

All integers are big-endian. The engine reads and writes the same bytes in native/src/python.rs and
native/src/outcome.rs, the operator in ``streams/jvm/weir/EngineOperator.java``. Pure; the backfill
and tests call it, in the velocity job the bytes pass through Python unread.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

JOURNALS_NEEDED = b"J"
"""First byte of an answer of the stage: the batch waits for the journals that follow."""
OUTCOME = b"O"
"""First byte of an answer of the stage: the outcome of the batch follows."""

_COUNT = struct.Struct(">I")
_LENGTH = struct.Struct(">i")
_KEY = struct.Struct(">H")
_APPEND = ord("A")


class JournalChange(NamedTuple):
    """A change of a key's journal.

    Attributes:
        entity: position of the entity.
        key: the key.
        entry: the entry to store.
        replaces: whether it replaces all entries; otherwise it is appended.
    """

    entity: int
    key: str
    entry: bytes
    replaces: bool


class Outcome(NamedTuple):
    """The outcome of a batch.

    Attributes:
        changes: changes of journals, in the order of the elements.
        emitted: the key to route by, empty for a record to produce, and the element.
    """

    changes: list[JournalChange]
    emitted: list[tuple[str, bytes]]


def encode_batch(elements: Iterable[bytes]) -> bytes:
    r"""Give the batch of these elements.

    Examples:
        >>> encode_batch([b"a", b""])
        b'\x00\x00\x00\x01a\x00\x00\x00\x00'
    """
    return b"".join(_LENGTH.pack(len(element)) + element for element in elements)


def encode_journals(journals: Iterable[Sequence[bytes]]) -> bytes:
    """Give journals, each as its entries in order, for ``Engine.restore``."""
    return encode_batch(map(encode_batch, journals))


def decode_missing(data: bytes) -> list[tuple[int, str]]:
    """Read which journals are missing: position of the entity, and key."""
    reader = _Reader(data)
    return [(reader.byte(), reader.key()) for _ in range(reader.count() if data else 0)]


def decode_outcome(data: bytes) -> Outcome:
    """Read the outcome of a batch."""
    reader = _Reader(data)
    changes = []
    for _ in range(reader.count()):
        entity, operation = reader.byte(), reader.byte()
        changes.append(
            JournalChange(entity, reader.key(), reader.element(), replaces=operation != _APPEND)
        )
    emitted = [(reader.key(), reader.element()) for _ in range(reader.count())]
    return Outcome(changes, emitted)


class _Reader:
    """Reads one value after another."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def count(self) -> int:
        return self._number(_COUNT)

    def key(self) -> str:
        return self._take(self._number(_KEY)).decode()

    def element(self) -> bytes:
        return self._take(self._number(_LENGTH))

    def _number(self, layout: struct.Struct) -> int:
        number: int = layout.unpack_from(self._data, self._at)[0]
        self._at += layout.size
        return number

    def _take(self, length: int) -> bytes:
        self._at += length
        return self._data[self._at - length : self._at]
