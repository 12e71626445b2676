"""A key and a frame as one byte array: how a stage of the backfill tells the JVM a frame's key.

The layout is the key's length as a big-endian u16, the key in UTF-8, then the frame;
``streams/jvm/weir/KeyedFrames.java`` reads it. Pure; called by the stages.
"""

import struct

_KEY_LENGTH = struct.Struct(">H")
NO_KEY = _KEY_LENGTH.pack(0)
"""What a keyed frame with an empty key begins with."""


def encode_keyed(key: str, frame: bytes) -> bytes:
    r"""The keyed frame.

    Examples:
        >>> encode_keyed("m-1", b"{}")
        b'\x00\x03m-1{}'
    """
    key_bytes = key.encode()
    return _KEY_LENGTH.pack(len(key_bytes)) + key_bytes + frame
