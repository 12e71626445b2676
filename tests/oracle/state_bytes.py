"""The bytes of a state: a header, then sections of integers and texts.

Compact and canonical: equal states give equal bytes on every machine. Owns the version of the
format and the check of the definition digest. The meaning of the sections is not known here; the
states and their parts write and read them in a fixed order.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import accumulate, pairwise
from typing import NamedTuple

from features.definitions import DEFINITION_DIGEST, LATENESS_MS
from schemas.errors import WeirError

FORMAT_VERSION = 1

_MAGIC = b"WS"
_HEADER = struct.Struct("<2sBcB8sQ?q")
_INTS = struct.Struct("<BI")
_DIGEST = bytes.fromhex(DEFINITION_DIGEST)
_CODE_OF_WIDTH = {1: "B", 2: "H", 4: "I", 8: "Q"}
_WIDE = 16
_LOW_64 = (1 << 64) - 1


class StateBytesError(WeirError, ValueError):
    """Bytes that are not a state of this kind, of this format and of these definitions.

    Do not repair them: states are derived, so rebuild them from the logs.
    """


class Form(IntEnum):
    """The forms of a state's bytes: the durable one, and smaller ones that are only read.

    Attributes:
        DURABLE: everything. Form 0, which earlier versions wrote, lacks the content of first
            deliveries.
        ONLINE_AT_NEWEST: written by earlier versions, still read: exact as of the newest event or
            later. Online stores hold it for keys that have had no event since.
        ONLINE: exact as of up to ``LATENESS_MS`` before the newest event, too.
    """

    ONLINE_AT_NEWEST = 1
    ONLINE = 2
    DURABLE = 3

    @property
    def lateness_ms(self) -> int:
        """How much older than the newest event a read may be and still be exact, in ms."""
        return 0 if self is Form.ONLINE_AT_NEWEST else LATENESS_MS


class Header(NamedTuple):
    """The header of every state.

    Attributes:
        kind: kind of the state, one byte.
        form: which form the bytes have.
        sequence: number of changes of the state.
        newest_ms: newest event time in ms since 1970 UTC, None before the first event.
    """

    kind: bytes
    form: Form
    sequence: int
    newest_ms: int | None


_FORMS = tuple(map(int, Form))


def pack_header(header: Header) -> bytes:
    """Write format, digest and header."""
    newest_ms = header.newest_ms
    return _HEADER.pack(
        _MAGIC,
        FORMAT_VERSION,
        header.kind,
        header.form,
        _DIGEST,
        header.sequence,
        newest_ms is not None,
        newest_ms or 0,
    )


def pack_ints(values: Sequence[int]) -> bytes:
    """Write integers from 0 to 2^128 - 1, in the smallest width that holds the largest.

    Raises:
        ValueError: a value is negative or too large.
    """
    largest = max(values, default=0)
    if values and (min(values) < 0 or largest >> 128):
        raise ValueError(f"integers from {min(values)} to {largest}, limits 0 and 2^128 - 1")
    for width, code in _CODE_OF_WIDTH.items():
        if largest >> (8 * width) == 0:
            return _INTS.pack(width, len(values)) + _little_endian(array(code, values)).tobytes()
    words = array("Q", [word for value in values for word in (value & _LOW_64, value >> 64)])
    return _INTS.pack(_WIDE, len(values)) + _little_endian(words).tobytes()


def pack_instants(instants_ms: Iterable[int]) -> bytes:
    """Write times, in ms since 1970 UTC, before or after it."""
    values = array("q", instants_ms)
    return _INTS.pack(8, len(values)) + _little_endian(values).tobytes()


def pack_texts(texts: Sequence[str]) -> bytes:
    """Write texts as their lengths in code points, followed by all of them in UTF-8."""
    blob = "".join(texts).encode()
    return pack_ints([len(blob), *map(len, texts)]) + blob


def pack_numbered(texts: Sequence[str], *, known: Iterable[str] = ()) -> bytes:
    """Write texts as numbers: each different text once, ``known`` ones before them not at all."""
    known = list(known)
    table = list(dict.fromkeys((*known, *texts)))
    numbers = {text: number for number, text in enumerate(table)}
    return pack_texts(table[len(known) :]) + pack_ints([numbers[text] for text in texts])


def _little_endian(values: array[int]) -> array[int]:
    if sys.byteorder == "big":
        values.byteswap()
    return values


class StateReader:
    """Reads sections in the order in which they were written; use it in a ``with`` block.

    Args:
        data: all bytes of a state.
        kind: the expected kind.

    Raises:
        StateBytesError: no state, or one of another kind, format or digest. Every method raises it
            if the bytes end too early.
    """

    __slots__ = ("_at", "_data", "header")

    def __init__(self, data: bytes, *, kind: bytes) -> None:
        self._data = data
        self._at = 0
        magic, version, found, form, digest, sequence, has_newest, newest_ms = _HEADER.unpack(
            self._take(_HEADER.size)
        )
        if magic != _MAGIC or found != kind or version != FORMAT_VERSION:
            raise StateBytesError(
                f"state begins with {data[:4]!r}, expected {_MAGIC!r}, format {FORMAT_VERSION} "
                f"and kind {kind!r}; rebuild the state from the logs"
            )
        if digest != _DIGEST:
            raise StateBytesError(
                f"state of definitions {digest.hex()!r}, this process has {DEFINITION_DIGEST!r}; "
                "rebuild the state from the logs"
            )
        if form not in _FORMS:
            raise StateBytesError(
                f"state in form {form}, this process reads {_FORMS}; a lower form is of an earlier "
                "version: rebuild the state from the logs; a higher one of a later: update this "
                "process"
            )
        self.header = Header(found, Form(form), sequence, newest_ms if has_newest else None)

    def ints(self) -> list[int]:
        """Read what :func:`pack_ints` wrote."""
        width, size = _INTS.unpack(self._take(_INTS.size))
        if width == _WIDE:
            words = self._array("Q", 2 * size)
            return [low | high << 64 for low, high in zip(words[::2], words[1::2], strict=True)]
        if width not in _CODE_OF_WIDTH:
            raise StateBytesError(f"integers {width} bytes wide at byte {self._at} of a state")
        return self._array(_CODE_OF_WIDTH[width], size).tolist()

    def instants(self) -> list[int]:
        """Read what :func:`pack_instants` wrote."""
        _, size = _INTS.unpack(self._take(_INTS.size))
        return self._array("q", size).tolist()

    def texts(self) -> list[str]:
        """Read what :func:`pack_texts` wrote."""
        sizes = self.ints()
        if not sizes:
            raise StateBytesError(f"no size of a text before byte {self._at} of a state")
        blob_bytes, *lengths = sizes
        try:
            text = self._take(blob_bytes).decode()
        except UnicodeDecodeError as error:
            raise StateBytesError(f"a text of a state is not UTF-8: {error}") from None
        return [text[start:end] for start, end in pairwise(accumulate(lengths, initial=0))]

    def numbered(self, *, known: Iterable[str] = ()) -> list[str]:
        """Read what :func:`pack_numbered` wrote, with the same known texts."""
        table = [*known, *self.texts()]
        return [table[number] for number in self.ints()]

    def __enter__(self) -> StateReader:
        """Start reading after the header."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object
    ) -> None:
        """Check that all bytes have been read, and turn errors of the sections into ours.

        Raises:
            StateBytesError: bytes are left, or a section was wrong.
        """
        if isinstance(error, ValueError | ArithmeticError | LookupError) and not isinstance(
            error, StateBytesError
        ):
            raise StateBytesError(f"sections of a state do not fit together: {error}") from error
        if error is None and self._at != len(self._data):
            raise StateBytesError(f"state of {len(self._data)} bytes, {self._at} expected")

    def _array(self, code: str, size: int) -> array[int]:
        values = array(code)
        values.frombytes(self._take(size * values.itemsize))
        return _little_endian(values)

    def _take(self, size: int) -> bytes:
        at, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise StateBytesError(f"state of {len(self._data)} bytes, {self._at} expected")
        return self._data[at : self._at]
