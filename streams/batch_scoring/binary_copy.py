"""Writes scored rows in PostgreSQL's format of ``COPY ... WITH (FORMAT binary)``.

A row is the number of its fields, then for each field its length and its bytes, all big-endian.
Arrow joins the pieces of all rows of a batch in one call, without the interpreter's lock. Pure.

Source: the section "Binary Format" of the documentation of COPY, PostgreSQL 15.
"""

import struct
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
"""What a copy begins with: the signature, no flags, no extension."""
TRAILER: Final = struct.pack(">h", -1)
"""What a copy ends with."""
COLUMNS: Final = ("entity", "score", "decision")
"""The columns of a row, in their order: text, double precision, text."""
_FIELDS = np.dtype([("fields", ">i2"), ("bytes", ">i4")])
_SCORE = np.dtype([("bytes", ">i4"), ("value", ">f8")])


def binary_rows(
    entities: pa.Array, scores: NDArray[np.float64], decisions: pa.DictionaryArray
) -> pa.Buffer:
    r"""Encode a batch of rows; header and trailer are the caller's.

    Args:
        entities: strings, none of them null.
        scores: one for each entity.
        decisions: one for each entity, as codes of a few texts.

    Examples:
        >>> decisions = pa.array(["BLOCK"]).dictionary_encode()
        >>> binary_rows(pa.array(["ab"]), np.array([1.0]), decisions).to_pybytes()
        b'\x00\x03\x00\x00\x00\x02ab\x00\x00\x00\x08?\xf0\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05BLOCK'
    """
    heads = np.empty(len(entities), _FIELDS)
    heads["fields"] = len(COLUMNS)
    heads["bytes"] = pc.binary_length(entities).to_numpy()
    values = np.empty(len(scores), _SCORE)
    values["bytes"] = _SCORE["value"].itemsize
    values["value"] = scores
    texts = [text.encode() for text in decisions.dictionary.to_pylist()]
    fields = pa.array([struct.pack(">i", len(text)) + text for text in texts], pa.binary())
    joined = pc.binary_join_element_wise(
        _pieces(heads),
        entities.cast(pa.binary()),
        _pieces(values),
        fields.take(decisions.indices),
        pa.scalar(b"", pa.binary()),
    )
    _, offsets, content = joined.buffers()
    ends = np.frombuffer(offsets, np.int32)[joined.offset : joined.offset + len(joined) + 1]
    return content.slice(int(ends[0]), int(ends[-1] - ends[0]))


def _pieces(values: NDArray[np.void]) -> pa.Array:
    """The bytes of each value of a numpy array, as an Arrow array of binaries; not copied."""
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.dtype.itemsize
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.binary(), len(values), buffers)
