"""The frames that a backfill folds: a record with its position in the folds of user and merchant.

In the stream the order of arrival decides the order of the folds. Batch mode sorts files instead,
so each frame carries its position. ``KeyedFrameFormat.java`` reads the files, ``FoldOrder.java``
the positions. Pure; called by ``weir backfill``, which writes the files, and by the stages.
"""

import struct
from typing import NamedTuple

_PLACE = struct.Struct(">qqq")
_LENGTHS = struct.Struct(">iH")
_KEY_LENGTH = struct.Struct(">H")

PLACE_BYTES = _PLACE.size
USER_ORDER_AT = 0
"""Index in a frame of `FoldPlace.user_order`, a big-endian i64."""
MERCHANT_ORDER_AT = 8
"""Index in a frame of `FoldPlace.merchant_order`, a big-endian i64."""


class FoldPlace(NamedTuple):
    """The position of a record in the folds of its user and of its merchant.

    Attributes:
        user_order: order among the records of one user.
        merchant_order: order among the records of one merchant; labels come before transactions.
        labels_until: sequence of the merchant's state before this record; labels are folded until
            the state has reached it.
    """

    user_order: int
    merchant_order: int
    labels_until: int

    def pack(self) -> bytes:
        """The first bytes of a frame."""
        return _PLACE.pack(*self)

    @classmethod
    def unpack(cls, frame: bytes) -> "FoldPlace":
        """Decode the first bytes of a frame, which :meth:`pack` encoded."""
        return cls(*_PLACE.unpack_from(frame))


def encode_entry(key: str, place: FoldPlace, record: bytes) -> bytes:
    r"""Encode one entry of an input file.

    Args:
        key: user id of a transaction, merchant id of a label.
        place: position of the record.
        record: its frame, as ``record_frame`` encodes it.

    Examples:
        >>> encode_entry("u", FoldPlace(1, 2, 0), b"R...")[:7]
        b'\x00\x00\x00\x1f\x00\x01u'
    """
    key_bytes = key.encode()
    length = _KEY_LENGTH.size + len(key_bytes) + PLACE_BYTES + len(record)
    return _LENGTHS.pack(length, len(key_bytes)) + key_bytes + place.pack() + record
