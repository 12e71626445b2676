"""Reads the trees in an ONNX file, without ONNX: a reader of the few messages that hold them.

For processes that must start quickly and stay small (`scoring.embedded`); the services read the
same file with ONNX Runtime (`models.artifact.trees`). Refuses every file that holds more than one
tree operator of the form that `models.artifact.onnx_forest` writes. The format is Protocol Buffers
(field numbers from onnx-ml.proto).
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from models.artifact.aggregate import AVERAGE, SUM

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto, ValueInfoProto.
_GRAPH, _FUNCTIONS = 7, 25
_NODE, _INITIALIZER, _INPUT = 1, 5, 11
_OPERATOR, _ATTRIBUTE, _DOMAIN = 4, 5, 7
_NAME, _INTEGER, _TENSOR, _INTEGERS = 1, 3, 5, 8
_TENSOR_TYPE, _RAW = 2, 9
_DOUBLE, _UINT8 = 11, 2

# One or more integers of an attribute, each with its key of one byte.
_INTEGERS_RUN: Final = re.compile(rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])+")
_DIGITS: Final = re.compile(rb"\x40([\x80-\xff]{0,9}[\x00-\x7f])")

_NUMBERS: Final = (
    "nodes_featureids",
    "nodes_missing_value_tracks_true",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_trueleafs",
    "nodes_falseleafs",
    "tree_roots",
)


@dataclass(frozen=True, slots=True)
class TreeArrays:
    """The arrays of the operator `TreeEnsemble`: inner nodes and leaves of all trees.

    Attributes:
        columns: how many numbers a vector has.
        aggregate: `AVERAGE` or `SUM` of the leaves that a vector reaches.
        roots: number of the root of each tree.
        features: for each inner node, the column it compares.
        splits: its threshold; a value less than or equal to it takes the first branch.
        missing_to_first: 1 if a missing value takes the first branch, too.
        first: number of the inner node or leaf at the end of the first branch.
        second: the same for the second branch.
        first_is_leaf: 1 if the first branch ends at a leaf.
        second_is_leaf: the same for the second branch.
        leaves: for each leaf, the probability of class 1, or what it adds to the log-odds.
    """

    columns: int
    aggregate: int
    roots: list[int]
    features: list[int]
    splits: list[float]
    missing_to_first: list[int]
    first: list[int]
    second: list[int]
    first_is_leaf: list[int]
    second_is_leaf: list[int]
    leaves: list[float]


def read_tree_arrays(content: bytes) -> TreeArrays:
    """Read the content of ``weir/trees.onnx``.

    Raises:
        ValueError: the bytes are not trees, or more than trees.
    """
    try:
        return _of_model(content)
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"is no tree model: {error!r:.200}") from error


def _of_model(content: bytes) -> TreeArrays:
    model = _Message(content)
    graph = _Message(model.one(_GRAPH))
    nodes = [_Message(data) for data in graph.all(_NODE)]
    operators = [(_text(node, _DOMAIN), _text(node, _OPERATOR)) for node in nodes]
    has_more = bool(model.all(_FUNCTIONS) or graph.all(_INITIALIZER))
    if operators != [("ai.onnx.ml", "TreeEnsemble")] or has_more:
        raise ValueError(f"holds {operators!s:.100} and maybe more, must hold one tree operator")
    attributes = {_text(each, _NAME): each for each in map(_Message, nodes[0].all(_ATTRIBUTE))}
    modes = _tensor(attributes["nodes_modes"], _UINT8)
    aggregate = _integer(attributes["aggregate_function"])
    if aggregate not in (AVERAGE, SUM) or any(modes):
        raise ValueError("its trees do not compare by <= and average or add up")
    if _integer(attributes["n_targets"]) != 1 or "post_transform" in attributes:
        raise ValueError("its trees give more than one number")
    numbers = {name: _integers(attributes[name]) for name in _NUMBERS}
    arrays = TreeArrays(
        columns=_columns(_Message(graph.one(_INPUT))),
        aggregate=aggregate,
        roots=numbers["tree_roots"],
        features=numbers["nodes_featureids"],
        splits=_doubles(attributes["nodes_splits"]),
        missing_to_first=numbers["nodes_missing_value_tracks_true"],
        first=numbers["nodes_truenodeids"],
        second=numbers["nodes_falsenodeids"],
        first_is_leaf=numbers["nodes_trueleafs"],
        second_is_leaf=numbers["nodes_falseleafs"],
        leaves=_doubles(attributes["leaf_weights"]),
    )
    _check(arrays, modes=len(modes))
    return arrays


def _check(arrays: TreeArrays, *, modes: int) -> None:
    """Refuse arrays that do not belong together; a node may only point at nodes after it."""
    count = len(arrays.splits)
    of_nodes = (
        arrays.features,
        arrays.missing_to_first,
        arrays.first,
        arrays.second,
        arrays.first_is_leaf,
        arrays.second_is_leaf,
    )
    if any(len(each) != count for each in of_nodes) or modes != count:
        raise ValueError("its arrays have different lengths")
    if not arrays.roots or not all(0 <= root < count for root in arrays.roots):
        raise ValueError("its trees have no roots")
    if not all(0 <= feature < arrays.columns for feature in arrays.features):
        raise ValueError("it compares columns that a vector does not have")
    for ends, are_leaves in (
        (arrays.first, arrays.first_is_leaf),
        (arrays.second, arrays.second_is_leaf),
    ):
        for at, (end, is_leaf) in enumerate(zip(ends, are_leaves, strict=True)):
            if not (0 <= end < len(arrays.leaves) if is_leaf else at < end < count):
                raise ValueError(f"its node {at} leads nowhere")


class _Message:
    """The fields of one message, not interpreted."""

    def __init__(self, data: bytes) -> None:
        self._fields: dict[int, list[bytes | list[int]]] = {}
        for number, value in _fields(data):
            self._fields.setdefault(number, []).append(value)

    def all(self, number: int) -> list[bytes]:
        """Give every value of a field that holds bytes."""
        return [value for value in self._fields.get(number, ()) if isinstance(value, bytes)]

    def one(self, number: int) -> bytes:
        """Give the only value of a field that holds bytes."""
        (value,) = self.all(number)
        return value

    def integers(self, number: int) -> list[int]:
        """Give every value of a field of integers."""
        found: list[int] = []
        for value in self._fields.get(number, ()):
            if isinstance(value, list):
                found += value
        return found


def _fields(data: bytes) -> Iterator[tuple[int, bytes | list[int]]]:
    at, end = 0, len(data)
    while at < end:
        # Nearly all of the file is such runs; read one by one they would take ten times as long.
        if run := _INTEGERS_RUN.match(data, at):
            yield _INTEGERS, [_number(digits) for digits in _DIGITS.findall(run[0])]
            at = run.end()
            continue
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, [value]
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"has a field of kind {kind}")
        if at + size > end:
            raise ValueError("ends in the middle of a field")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = data[at]
    at += 1
    if value < 0x80:
        return value, at
    value &= 0x7F
    shift = 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("has a number of more than 64 bits")


def _number(digits: bytes) -> int:
    if len(digits) == 1:
        return digits[0]
    if len(digits) == 2:
        return digits[0] & 0x7F | digits[1] << 7
    return _varint(digits, 0)[0]


def _text(message: _Message, number: int) -> str:
    return message.one(number).decode()


def _integer(attribute: _Message) -> int:
    (value,) = attribute.integers(_INTEGER) or [0]
    return value


def _integers(attribute: _Message) -> list[int]:
    return attribute.integers(_INTEGERS)


def _tensor(attribute: _Message, kind: int) -> bytes:
    tensor = _Message(attribute.one(_TENSOR))
    if tensor.integers(_TENSOR_TYPE) != [kind]:
        raise ValueError("holds numbers of another type")
    return tensor.one(_RAW)


def _doubles(attribute: _Message) -> list[float]:
    numbers = array("d")
    numbers.frombytes(_tensor(attribute, _DOUBLE))
    return numbers.tolist()


def _columns(described: _Message) -> int:
    # ValueInfoProto.type.tensor_type.shape.dim[1].dim_value
    shape = _Message(_Message(_Message(described.one(2)).one(1)).one(2))
    _, columns = shape.all(1)
    (count,) = _Message(columns).integers(1)
    return count
