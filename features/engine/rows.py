"""Reads feature rows for scoring, a batch at a time, by the native engine.

The engine takes a row only if the velocity job could have written it so, with the definitions of
this process; ``native/src/row_reader.rs`` says which. Other rows are read by
`schemas.output_codec`. Called by the models and by the scorer.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from weir_engine import MatrixForm, ReadRows, RowReader

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from features.engine.plan import ENTITIES
from features.engine.version import check_engine_version
from features.engine.wire import event_fields
from schemas.decision import INPUT_FIELDS
from schemas.transaction import Limits

__all__ = ["MatrixForm", "ReadRows", "RowTexts", "feature_limits", "matrix_form", "read_rows"]

_INTEGER_MAX: Final = 2**63 - 1


class RowTexts(NamedTuple):
    """What a decision repeats of a row, as it is written in the row.

    The texts are without quotation marks and need no escapes.
    """

    transaction_id: bytes
    user_id: bytes
    merchant_id: bytes
    event_time_ms: bytes
    features: bytes
    """The members of the object, without its braces."""
    approximate: bytes
    """A JSON list."""
    timestamp_ms: bytes
    computed_at_ms: bytes
    inputs: bytes
    """A JSON object: the fields of `schemas.decision.INPUT_FIELDS` that the transaction has."""


_WANTED: Final = RowTexts._fields[:4]


def read_rows(values: Sequence[bytes | None]) -> ReadRows:
    """Read a batch of records' values; `ReadRows.taken` says which are rows of our form.

    ``ReadRows.texts`` gives the fields of `RowTexts` for each row.
    """
    return _reader().read(values)


def matrix_form(
    columns: Sequence[str],
    categories: Mapping[str, Sequence[str]],
    *,
    empty: Sequence[str],
    missing_code: float,
    unknown_code: float,
) -> MatrixForm:
    """Describe the vectors of a model.

    Args:
        columns: names of features and of fields of a transaction, in the order of the vector.
        categories: the known texts of each column of text; the position of a text is its code.
        empty: columns that the caller fills; they become NaN.
        missing_code: the code of an absent text.
        unknown_code: the code of a text that is not known.

    Raises:
        ValueError: a row has no value for a column.
    """
    form = {
        "columns": list(columns),
        "categories": {name: list(texts) for name, texts in categories.items()},
        "empty": list(empty),
        "missing_code": missing_code,
        "unknown_code": unknown_code,
    }
    return MatrixForm(json.dumps(form), _reader())


def feature_limits(limits: Mapping[str, float]) -> list[tuple[int, float, str]]:
    """Give limits of features by name as ``ReadRows.above`` takes them."""
    return [(FEATURE_NAMES.index(name), limit, name) for name, limit in limits.items()]


@functools.cache
def _reader() -> RowReader:
    check_engine_version()
    # A row has passed the limits of the deployment that wrote it; only the rules of each field
    # are checked, as `schemas.codec.read_transaction` does.
    fields = event_fields(Limits(amount_minor_max=_INTEGER_MAX))
    form = {
        "event_name": "transaction",
        "fields": [{**field, "only": None} if "only" in field else field for field in fields],
        "features": FEATURE_NAMES,
        "digest": DEFINITION_DIGEST,
        "sequence_names": [planned.sequence_field for planned in ENTITIES],
        "wanted": _WANTED,
        "repeated": INPUT_FIELDS,
    }
    return RowReader(json.dumps(form))
