"""Reads the feature log and the labels into tables, up to where they ended when reading began.

Owns which rows count: the first of each transaction by log offset, of the present feature
definitions. Reads without a consumer group, so it leaves no trace. Knows no model.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

import pandas as pd
from confluent_kafka import Consumer, KafkaException, TopicPartition

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from schemas.codec import decode_label
from schemas.errors import InvalidEventError
from schemas.feature_row import FeatureRow
from schemas.output_codec import decode_feature_row
from schemas.topics import FEATURES, LABELS
from schemas.transaction import Limits
from training.archive.tables import LABEL_COLUMNS, TRANSACTION_COLUMNS
from training.errors import LogUnreachableError, NoFeatureRowsError

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 10.0
"""Longest wait, s, for the broker's answer about a topic."""
POLL_S = 0.1
"""Longest wait, s, in one call for records: the client waits for all it was asked for."""
SILENT_POLLS_MAX = 300
"""How many calls in a row may bring nothing before the end of a log: half a minute."""
READ_RECORDS_MAX = 2_000
"""Records taken from the client at once."""


_NAMES = frozenset(FEATURE_NAMES)


class LogRecord(NamedTuple):
    """A record as it lies in its log."""

    partition: int
    offset: int
    value: bytes | None


def read_feature_rows(bootstrap: str) -> pd.DataFrame:
    """Read the feature log; see `feature_table` for what comes back.

    Raises:
        LogUnreachableError: Kafka does not answer, or the topic is missing.
        NoFeatureRowsError: there is no row of the present definitions.
    """
    return feature_table(read_records(bootstrap, FEATURES))


def read_labels(bootstrap: str, *, limits: Limits) -> pd.DataFrame:
    """Read the labels; see `label_table` for what comes back.

    Raises:
        LogUnreachableError: Kafka does not answer, or the topic is missing.
    """
    return label_table(read_records(bootstrap, LABELS), limits=limits)


def feature_table(records: Iterable[LogRecord]) -> pd.DataFrame:
    """Make the table of feature rows: one row a transaction, the first by log offset.

    Left out: rows of other definitions, and records that the scorer has sent to the dead
    letters because they are no whole feature rows.

    Args:
        records: of the feature log, each partition in offset order.

    Returns:
        Columns `TRANSACTION_COLUMNS` (device_type and ip_country are None where absent), each
        of ``FEATURE_NAMES`` as float64 (NaN: no value), ``log_partition``, ``log_offset``.
        Rows in order of the log, the index counts from 0.

    Raises:
        NoFeatureRowsError: there is no row of the present definitions.
    """
    names = (*TRANSACTION_COLUMNS, *FEATURE_NAMES, "log_partition", "log_offset")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    seen: set[str] = set()
    left_out = 0
    for record in records:
        row = _usable_row(record.value)
        if row is None:
            left_out += 1
            continue
        if row.transaction.transaction_id in seen:
            continue
        seen.add(row.transaction.transaction_id)
        for name in TRANSACTION_COLUMNS:
            columns[name].append(getattr(row.transaction, name))
        for name in FEATURE_NAMES:
            columns[name].append(row.features[name])
        columns["log_partition"].append(record.partition)
        columns["log_offset"].append(record.offset)
    if not seen:
        raise NoFeatureRowsError(
            f"topic {FEATURES} holds no feature rows of the definitions {DEFINITION_DIGEST} "
            f"({left_out} others); send transactions first, or replay a file"
        )
    if left_out:
        logger.warning("left out %d records that are no rows of these definitions", left_out)
    return pd.DataFrame(columns).astype(dict.fromkeys(FEATURE_NAMES, "float64"))


def _usable_row(value: bytes | None) -> FeatureRow | None:
    try:
        row = decode_feature_row(value)
    except InvalidEventError:
        return None
    if row.definition_digest != DEFINITION_DIGEST or not row.features.keys() >= _NAMES:
        return None
    return row


def label_table(records: Iterable[LogRecord], *, limits: Limits) -> pd.DataFrame:
    """Make the table of labels: the latest observation of each transaction.

    Of two observations with equal times the later arrival counts. A label that the stream has
    refused as invalid is left out here, too.

    Args:
        records: of the labels, each partition in offset order.
        limits: the stream's.

    Returns:
        Columns `LABEL_COLUMNS`, one row a transaction.
    """
    rows = []
    for record in records:
        try:
            # The stream has judged the clock when the label came in; here only the rest counts.
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
    table = pd.DataFrame(rows, columns=list(LABEL_COLUMNS))
    # Stable: equal times keep the order of the log, so the last one is the later arrival.
    table = table.sort_values("observed_time_ms", kind="stable")
    return table.drop_duplicates("transaction_id", keep="last").reset_index(drop=True)


def read_records(bootstrap: str, topic: str) -> Iterator[LogRecord]:
    """Read a topic up to where it ended when reading began, partition after partition.

    Blocks: up to 10 s for an answer, half a minute for the next record.

    Raises:
        LogUnreachableError: Kafka does not answer, the topic is missing, or it fell silent.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "weir-training",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "log_level": 0,
        }
    )
    try:
        for partition, first, end in _bounds(consumer, topic):
            if first < end:
                consumer.assign([TopicPartition(topic, partition, first)])
                yield from _until(consumer, topic, partition, end)
    except KafkaException as error:
        raise LogUnreachableError(f"cannot read {topic} at {bootstrap}: {error!s:.200}") from error
    finally:
        consumer.close()


def _bounds(consumer: Consumer, topic: str) -> list[tuple[int, int, int]]:
    metadata = consumer.list_topics(topic, timeout=ANSWER_TIMEOUT_S).topics[topic]
    if metadata.error is not None:
        raise KafkaException(metadata.error)
    return [
        (
            partition,
            *consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=ANSWER_TIMEOUT_S
            ),
        )
        for partition in sorted(metadata.partitions)
    ]


def _until(consumer: Consumer, topic: str, partition: int, end: int) -> Iterator[LogRecord]:
    place = TopicPartition(topic, partition)
    silent = 0
    # The position, not the last offset seen: an offset may be missing from a log.
    while consumer.position([place])[0].offset < end:
        messages = consumer.consume(READ_RECORDS_MAX, POLL_S)
        silent = 0 if messages else silent + 1
        if silent > SILENT_POLLS_MAX:
            raise LogUnreachableError(
                f"{topic} partition {partition} fell silent before its end at offset {end}"
            )
        for message in messages:
            if (error := message.error()) is not None:
                raise KafkaException(error)
            offset = cast(int, message.offset())
            if offset < end:
                yield LogRecord(partition, offset, message.value())
