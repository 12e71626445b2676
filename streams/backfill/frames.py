"""The frames that a backfill folds: a record, and its place among those of its user and merchant.

Batch mode reads files and sorts; what the stream knew by arrival is written down here. The file's
twin is ``streams/jvm/weir/KeyedFrameFormat.java``, the places' is ``FoldOrder.java``. Pure; called
by whoever writes the files (``weir backfill``) and by ``backfill_stages.py``.
"""

import struct
from typing import NamedTuple

_PLACE = struct.Struct(">qqq")
_LENGTHS = struct.Struct(">iH")
_KEY_LENGTH = struct.Struct(">H")

PLACE_BYTES = _PLACE.size
USER_ORDER_AT = 0
"""Where in a frame the order among its user's is, big-endian i64."""
MERCHANT_ORDER_AT = 8
"""Where in a frame the order among its merchant's is, big-endian i64."""


class FoldPlace(NamedTuple):
    """Where in the folds of a user and a merchant a record belongs.

    Attributes:
        user_order: sorts the records of one user.
        merchant_order: sorts the records of one merchant; its labels come before all others.
        labels_until: the merchant's sequence that its labels bring it to before this record.
    """

    user_order: int
    merchant_order: int
    labels_until: int

    def pack(self) -> bytes:
        """The bytes that a frame begins with."""
        return _PLACE.pack(*self)

    @classmethod
    def unpack(cls, frame: bytes) -> "FoldPlace":
        """Read what :meth:`pack` wrote at the beginning of a frame."""
        return cls(*_PLACE.unpack_from(frame))


def encode_entry(key: str, place: FoldPlace, record: bytes) -> bytes:
    r"""One entry of an input file.

    Args:
        key: user id of a transaction, merchant id of a label.
        place: where it is folded.
        record: its frame, as ``record_frame`` makes it.

    Examples:
        >>> encode_entry("u", FoldPlace(1, 2, 0), b"R...")[:7]
        b'\x00\x00\x00\x1f\x00\x01u'
    """
    key_bytes = key.encode()
    length = _KEY_LENGTH.size + len(key_bytes) + PLACE_BYTES + len(record)
    return _LENGTHS.pack(length, len(key_bytes)) + key_bytes + place.pack() + record
