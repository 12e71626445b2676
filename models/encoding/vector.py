"""The model's input: which columns, in which order, and how text becomes a number.

A model version carries its ``VectorSpec``; training and scoring encode with the same one. Knows
no model and no library of numbers: a vector is a list of floats.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import nan
from typing import TYPE_CHECKING

from features.batch import BATCH_NAMES
from features.definitions import FEATURE_NAMES
from features.engine.aggregates import FeatureValue

if TYPE_CHECKING:
    from schemas.transaction import Transaction

AMOUNT_COLUMN = "amount_minor"
CATEGORY_COLUMNS = ("device_type", "ip_country")
STREAM_COLUMNS = (AMOUNT_COLUMN, *FEATURE_NAMES, *CATEGORY_COLUMNS)
"""What an event and its feature row fill, in the order of the vector."""

COLUMNS = (*STREAM_COLUMNS, *BATCH_NAMES)
"""All columns, in the order of the vector: the batch features come last."""

UNKNOWN_CODE = -1.0
"""A text that was not there when the model was fitted."""

MISSING_CODE = -2.0
"""No text at all."""


@dataclass(frozen=True)
class VectorSpec:
    """The columns of a vector and the lists that text is encoded by.

    Attributes:
        columns: names, each of ``COLUMNS``, in the order of the vector.
        categories: for each column of text that is used, its texts in the order of their codes.

    Raises:
        ValueError: a column that nothing can fill, one given twice, a text given twice, or
            a column of text without its list.

    Examples:
        >>> from schemas.transaction import Transaction
        >>> spec = VectorSpec(("amount_minor", "user_amount_mean_1h", "ip_country"),
        ...                   {"ip_country": ("AT", "DE")})
        >>> spec.encode(Transaction("tx", "u", "m", 250, "EUR", 0, ip_country="DE"),
        ...             {"user_amount_mean_1h": None})
        [250.0, nan, 1.0]
    """

    columns: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    _codes: Mapping[str, Mapping[str | None, float]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what could not be encoded; number the texts."""
        if unknown := sorted(set(self.columns) - set(COLUMNS)):
            raise ValueError(f"columns {unknown} cannot be filled; known are {list(COLUMNS)}")
        for name, texts in (("columns", self.columns), *self.categories.items()):
            if len(set(texts)) != len(texts):
                raise ValueError(f"{name} {list(texts)} has an entry twice")
        of_text = set(self.columns) & set(CATEGORY_COLUMNS)
        if of_text != set(self.categories):
            raise ValueError(
                f"categories are given for {sorted(self.categories)}, needed for {sorted(of_text)}"
            )
        codes = {
            column: {None: MISSING_CODE, **{text: float(at) for at, text in enumerate(texts)}}
            for column, texts in self.categories.items()
        }
        object.__setattr__(self, "_codes", codes)

    @classmethod
    def for_transactions(
        cls, transactions: Iterable[Transaction], *, columns: tuple[str, ...] = STREAM_COLUMNS
    ) -> VectorSpec:
        """Take these columns, and as categories the texts seen, sorted."""
        seen: dict[str, set[str]] = {column: set() for column in CATEGORY_COLUMNS}
        for transaction in transactions:
            for column, texts in seen.items():
                text = getattr(transaction, column)
                if text is not None:
                    texts.add(text)
        used = {column: tuple(sorted(seen[column])) for column in columns if column in seen}
        return cls(columns, used)

    @property
    def batch_columns(self) -> tuple[str, ...]:
        """The batch features among the columns; no feature row carries them."""
        return tuple(column for column in self.columns if column in BATCH_NAMES)

    def encode(self, transaction: Transaction, features: Mapping[str, FeatureValue]) -> list[float]:
        """Give the vector of one event.

        Args:
            transaction: the event; its amount and its texts are used.
            features: value by name; None becomes NaN.

        Raises:
            KeyError: a column is missing from ``features``.
        """
        vector: list[float] = []
        for column in self.columns:
            if column in self._codes:
                text = getattr(transaction, column)
                vector.append(self._codes[column].get(text, UNKNOWN_CODE))
            elif column == AMOUNT_COLUMN:
                vector.append(float(transaction.amount_minor))
            else:
                value = features[column]
                vector.append(nan if value is None else float(value))
        return vector

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over columns and categories, in their order."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Give it as JSON; equal specs give equal text."""
        categories = {column: list(self.categories[column]) for column in sorted(self.categories)}
        spec = {"columns": list(self.columns), "categories": categories}
        return json.dumps(spec, separators=(",", ":"))

    @classmethod
    def from_signature(cls, signature: bytes) -> VectorSpec:
        """Read the specification in a model's ``weir/signature.json``.

        Raises:
            ValueError: it is no such file.
        """
        try:
            return cls.from_json(json.dumps(json.loads(signature)["vector"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"no signature, {signature[:80]!r}: {error!r}") from error

    @classmethod
    def from_json(cls, text: str | bytes) -> VectorSpec:
        """Read what :meth:`to_json` gave.

        Raises:
            ValueError: it is not such JSON, or the spec is refused.
        """
        try:
            spec = json.loads(text)
            columns = _texts(spec["columns"])
            categories = {column: _texts(texts) for column, texts in spec["categories"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no vector spec, {text[:80]!r}: {error!r}") from error
        return cls(columns, categories)


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError("columns and categories are lists of strings")
    return tuple(value)
