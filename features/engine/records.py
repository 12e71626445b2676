"""Reads records into columns by the native engine, a batch at a time.

The shape of the records is data; ``native/src/record_shape.rs`` reads it. The engine takes a record
only if every parser reads the same in it, and leaves every other record to its caller. Knows no
topic and no table. Called by the archive.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from weir_engine import RecordReader

from features.engine.version import check_engine_version
from features.engine.wire import event_fields, label_fields
from schemas.topics import INPUT_BYTES_MAX
from schemas.transaction import Limits

__all__ = ["RecordReader", "open_label_reader", "open_reader", "open_transaction_reader"]


def open_transaction_reader(limits: Limits) -> RecordReader:
    """Open the reader of transactions; its columns are the fields of a transaction, in order.

    It takes nothing that `schemas.codec.decode_transaction` refuses without a clock.

    Raises:
        EngineVersionError: the installed engine has another version.
    """
    return _open_strict(event_fields(limits), limits)


def open_label_reader(limits: Limits) -> RecordReader:
    """Open the reader of labels; its columns are the fields of a label, in order.

    It takes nothing that `schemas.codec.decode_label` refuses without a clock.

    Raises:
        EngineVersionError: the installed engine has another version.
    """
    fields = label_fields()
    names = [field["name"] for field in fields]
    in_order = (names.index("event_time_ms"), names.index("observed_time_ms"))
    return _open_strict(fields, limits, in_order)


def open_reader(members: Sequence[Mapping[str, Any]]) -> RecordReader:
    """Open a reader of records that Weir wrote; its columns are the leaves of the tree.

    Args:
        members: of the record's object, in the order in which they are written.

    Raises:
        EngineVersionError: the installed engine has another version.
    """
    check_engine_version()
    return RecordReader(json.dumps({"own": members}))


def _open_strict(
    fields: Sequence[Mapping[str, object]], limits: Limits, *in_order: tuple[int, int]
) -> RecordReader:
    check_engine_version()
    names = [field["name"] for field in fields]
    return RecordReader(
        json.dumps(
            {
                "strict": {
                    "fields": fields,
                    "bytes_max": INPUT_BYTES_MAX,
                    "minima": [(names.index("event_time_ms"), limits.event_time_ms_min)],
                    "in_order": in_order,
                }
            }
        )
    )
