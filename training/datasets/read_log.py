"""Reads the feature log and the labels into tables, up to their ends as of now.

Owns which rows count: the first row of each transaction (`schemas.first_row`), of the feature
definitions of this code. `clients.kafka_log` reads the records. Knows no model.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import pandas as pd

from clients.kafka_log import read_log
from clients.log_record import Record
from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from schemas.codec import decode_label
from schemas.errors import InvalidEventError
from schemas.feature_row import FeatureRow
from schemas.output_codec import decode_feature_row
from schemas.topics import FEATURES, LABELS
from schemas.transaction import Limits
from training.archive.first_rows import ORDERING_COLUMNS, is_first_row
from training.archive.labels import latest_as_of, with_intervals
from training.archive.tables import LABEL_COLUMNS, TRANSACTION_COLUMNS
from training.errors import NoFeatureRowsError

logger = logging.getLogger(__name__)

_NAMES = frozenset(FEATURE_NAMES)


def read_feature_rows(bootstrap: str) -> pd.DataFrame:
    """Read the feature log; see `feature_table` for what comes back.

    Raises:
        KafkaUnreachableError: Kafka does not answer, or the topic is missing.
        NoFeatureRowsError: there is no row of the feature definitions of this code.
    """
    return feature_table(read_log(bootstrap, FEATURES, values_only=True))


def read_labels(bootstrap: str, *, limits: Limits, as_of_ms: int | None = None) -> pd.DataFrame:
    """Read the labels; see `label_table` for what comes back.

    Raises:
        KafkaUnreachableError: Kafka does not answer, or the topic is missing.
    """
    records = read_log(bootstrap, LABELS, values_only=True)
    return label_table(records, limits=limits, as_of_ms=as_of_ms)


def feature_table(records: Iterable[Record]) -> pd.DataFrame:
    """Make the table of feature rows: one row a transaction, its first.

    Leaves out rows of other definitions, and records that are no complete feature rows: the
    scorer sends those to the dead letters.

    Args:
        records: of the feature log, each partition in offset order.

    Returns:
        Columns `TRANSACTION_COLUMNS` (device_type and ip_country are None where absent), each
        of ``FEATURE_NAMES`` as float64 (NaN: no value), ``log_partition``, ``log_offset``.
        Rows in the order of the log; the index counts from 0.

    Raises:
        NoFeatureRowsError: there is no row of the feature definitions of this code.
    """
    names = (*TRANSACTION_COLUMNS, *FEATURE_NAMES, "log_partition", "log_offset")
    columns: dict[str, list[Any]] = {name: [] for name in (*names, *ORDERING_COLUMNS)}
    left_out = 0
    for record in records:
        row = _usable_row(record.value)
        if row is None:
            left_out += 1
            continue
        for name in TRANSACTION_COLUMNS:
            columns[name].append(getattr(row.transaction, name))
        for name in FEATURE_NAMES:
            columns[name].append(row.features[name])
        columns["log_partition"].append(record.partition)
        columns["log_offset"].append(record.offset)
        for name in ORDERING_COLUMNS:
            columns[name].append(getattr(row, name))
    table = pd.DataFrame(columns)
    table = table.loc[is_first_row(table), list(names)].reset_index(drop=True)
    if table.empty:
        raise NoFeatureRowsError(
            f"topic {FEATURES} holds no feature rows of the definitions {DEFINITION_DIGEST} "
            f"({left_out} others); send transactions first, or replay a file"
        )
    if left_out:
        logger.warning("left out %d records that are not rows of these definitions", left_out)
    return table.astype(dict.fromkeys(FEATURE_NAMES, "float64"))


def _usable_row(value: bytes | None) -> FeatureRow | None:
    try:
        row = decode_feature_row(value)
    except InvalidEventError:
        return None
    if row.definition_digest != DEFINITION_DIGEST or not row.features.keys() >= _NAMES:
        return None
    return row


def label_table(
    records: Iterable[Record], *, limits: Limits, as_of_ms: int | None = None
) -> pd.DataFrame:
    """Make the table of labels: the latest observation of each transaction.

    `training.archive.labels` says which observation that is. Labels that the stream refused as
    invalid are left out.

    Args:
        records: of the labels, each partition in offset order.
        limits: the stream's.
        as_of_ms: leave out what was observed later, ms since 1970 UTC; None: read everything.

    Returns:
        Columns `LABEL_COLUMNS`, one row a transaction.
    """
    rows = []
    for record in records:
        try:
            # The stream compared its time with the clock when it arrived; this checks the rest.
            label = decode_label(record.value, limits=limits, now_ms=0, is_replay=True)
        except InvalidEventError:
            continue
        rows.append(
            (
                label.transaction_id,
                label.event_time_ms,
                label.observed_time_ms,
                label.is_fraud,
                record.partition,
                record.offset,
            )
        )
    observations = with_intervals(pd.DataFrame(rows, columns=list(LABEL_COLUMNS)))
    return latest_as_of(observations, as_of_ms)
