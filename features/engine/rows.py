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

from weir_engine import DecisionForm, Decisions, MatrixForm, ReadRows, RowReader

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from features.engine.plan import ENTITIES
from features.engine.version import check_engine_version
from features.engine.wire import event_fields
from schemas.decision import INPUT_FIELDS
from schemas.transaction import Limits

__all__ = [
    "DecisionForm",
    "Decisions",
    "MatrixForm",
    "ReadRows",
    "RowKeys",
    "decision_form",
    "matrix_form",
    "read_rows",
]

_INTEGER_MAX: Final = 2**63 - 1


class RowKeys(NamedTuple):
    """Which transaction a row is about, as it is written in the row, without quotation marks."""

    transaction_id: bytes
    user_id: bytes
    merchant_id: bytes
    event_time_ms: bytes


def read_rows(values: Sequence[bytes | None]) -> ReadRows:
    """Read a batch of records' values; `ReadRows.taken` says which are rows of our form.

    ``ReadRows.wanted`` gives the fields of `RowKeys` for each row, ``ReadRows.repeated`` a JSON
    object of the fields of `schemas.decision.INPUT_FIELDS` that a transaction has.
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


def decision_form(form: Mapping[str, object]) -> DecisionForm:
    """Describe decisions; ``native/src/decisions.rs`` says by what.

    Raises:
        ValueError: it does not fit the rows.
    """
    return DecisionForm(json.dumps(form), _reader())


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
        "wanted": RowKeys._fields,
        "repeated": INPUT_FIELDS,
    }
    return RowReader(json.dumps(form))
