"""The specification of a model's input vector: its columns, their order, and the codes of texts.

Each model version carries its own ``VectorSpec``. Two encoders follow it: `models.encoding.row`
for one event at a time and `models.encoding.table` for a whole table. Knows no model, no pandas
and no numpy.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from features.batch import BATCH_NAMES, BATCH_VIEWS
from features.definitions import FEATURE_NAMES

AMOUNT_COLUMN = "amount_minor"
CATEGORY_COLUMNS = ("device_type", "ip_country")
STREAM_COLUMNS = (AMOUNT_COLUMN, *FEATURE_NAMES, *CATEGORY_COLUMNS)
"""The columns whose values come from an event and its feature row, in the order of the vector."""

COLUMNS = (*STREAM_COLUMNS, *BATCH_NAMES)
"""All columns that a model of transactions may take, in the order of the vector; the batch features
come last. Models of users take those of their definition (`models.definition`)."""

_ALL_BATCH_NAMES = frozenset(name for view in BATCH_VIEWS for name in view.names)

UNKNOWN_CODE = -1.0
"""The code of a text that is not among the categories of the specification."""

MISSING_CODE = -2.0
"""The code of an absent text."""


@dataclass(frozen=True)
class VectorSpec:
    """The columns of a vector, and for each text column the list of its known texts.

    Attributes:
        columns: names, in the order of the vector.
        categories: the known texts of each text column; the position of a text is its code.
        codes: the code of each known text by text column; None is the key of an absent text.
            Derived from ``categories``.

    Raises:
        ValueError: a column is given twice, a text is given twice, or the categories do not belong
            to the text columns in use.

    Examples:
        >>> spec = VectorSpec(("amount_minor", "ip_country"), {"ip_country": ("AT", "DE")})
        >>> spec.codes["ip_country"]["DE"]
        1.0
    """

    columns: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    codes: Mapping[str, Mapping[str | None, float]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse a specification that no event could be encoded by; number the texts."""
        for name, texts in (("columns", self.columns), *self.categories.items()):
            if len(set(texts)) != len(texts):
                raise ValueError(f"{name} {list(texts)} has an entry twice")
        text_columns = set(self.columns) & set(CATEGORY_COLUMNS)
        if text_columns != set(self.categories):
            raise ValueError(
                f"categories are given for {sorted(self.categories)}, "
                f"needed for {sorted(text_columns)}"
            )
        codes = {
            column: {None: MISSING_CODE, **{text: float(at) for at, text in enumerate(texts)}}
            for column, texts in self.categories.items()
        }
        object.__setattr__(self, "codes", codes)

    @property
    def batch_columns(self) -> tuple[str, ...]:
        """The batch features among the columns; a feature row of the log does not carry them."""
        return tuple(column for column in self.columns if column in _ALL_BATCH_NAMES)

    def check_columns(self, known: Collection[str]) -> None:
        """Return if every column can be filled.

        Args:
            known: the columns that can be.

        Raises:
            ValueError: names the others.
        """
        if unknown := sorted(set(self.columns) - set(known)):
            raise ValueError(f"columns {unknown} cannot be filled; known are {list(known)}")

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits over columns and categories; their order counts."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Give the specification as JSON; equal specifications give equal texts."""
        return self._json

    @cached_property
    def _json(self) -> str:
        # The context of each batch of decisions has it: 0.7 ms to write again (measured).
        categories = {column: list(self.categories[column]) for column in sorted(self.categories)}
        spec = {"columns": list(self.columns), "categories": categories}
        return json.dumps(spec, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> VectorSpec:
        """Read the text that `to_json` gave.

        Raises:
            ValueError: the text is not such JSON, or the specification is refused.
        """
        try:
            spec = json.loads(text)
            columns = _texts(spec["columns"])
            categories = {column: _texts(texts) for column, texts in spec["categories"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no vector specification, {text[:80]!r}: {error!r}") from error
        return cls(columns, categories)


def vector_bytes(vector: Sequence[float]) -> bytes:
    """Give a vector as doubles in little-endian order."""
    return struct.pack(f"<{len(vector)}d", *vector)


def vector_digest(vector: bytes) -> str:
    """Give 16 hexadecimal digits over the bytes of a vector; see `vector_bytes`.

    Examples:
        >>> vector_digest(vector_bytes([250.0, 1.0]))
        'a8e10b983b975d19'
    """
    return hashlib.blake2b(vector, digest_size=8).hexdigest()


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError("columns and categories are lists of strings")
    return tuple(value)
