"""The topic ``rollout-state``: the newest snapshot of a rollout, and how it is written.

The controller writes and reads it; `weir rollout status` and the API read what is for people.
"""

from __future__ import annotations

import logging
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from clients.kafka import unreachable
from clients.kafka_log import TopicLog
from schemas.errors import InvalidEventError
from schemas.rollout_state import (
    RolloutReading,
    RolloutSnapshot,
    decode_snapshot,
    encode_snapshot,
)
from schemas.topics import ROLLOUT_STATE, ROLLOUT_STATE_TYPE, cloud_event_headers

logger = logging.getLogger(__name__)

PARTITION: Final = 0
DELIVERY_S_MAX: Final = 10.0
"""Longest wait for the broker to take a snapshot, s."""
NEWEST_RECORDS: Final = 32
"""So many offsets at the end are looked at first: the active rollout writes there."""


class RolloutStateLog:
    """The snapshots of one deployment's rollouts. Reading opens a connection for each call."""

    def __init__(self, bootstrap: str, *, topic: str = ROLLOUT_STATE) -> None:
        """Point at a broker; nothing is asked before the first call."""
        self._bootstrap = bootstrap
        self._topic = topic
        self._producer: Producer | None = None

    def newest(self, rollout_id: str) -> RolloutSnapshot | None:
        """Give the newest snapshot of a rollout; None if there is none that can be read.

        Blocks: some hundred ms; a second or so for a rollout that ended long ago.

        Raises:
            KafkaUnreachableError: no answer, or the topic is missing.
        """
        key = rollout_id.encode()
        with TopicLog(self._bootstrap, self._topic) as log:
            span = log.ranges[PARTITION]
            recent = max(span.first, span.end - NEWEST_RECORDS)
            for first, end in ((recent, span.end), (span.first, recent)):
                values = [
                    record.value
                    for record in log.read(PARTITION, first=first, end=end)
                    if record.key == key
                ]
                if values:
                    return _decoded(rollout_id, values[-1])
        return None

    def reading(self, rollout_id: str) -> RolloutReading | None:
        """Give what was counted of a rollout; None before the first snapshot.

        Raises:
            KafkaUnreachableError: as `newest`.
        """
        found = self.newest(rollout_id)
        return None if found is None else found.reading

    def write(self, snapshot: RolloutSnapshot) -> None:
        """Write a snapshot; it replaces the one before.

        Delivery: state and offsets are one record, so a reader gets both or neither.
        Blocks: up to `DELIVERY_S_MAX`.

        Raises:
            KafkaUnreachableError: the broker did not take it.
        """
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(error)

        reading = snapshot.reading
        producer = self._open()
        try:
            producer.produce(
                self._topic,
                encode_snapshot(snapshot),
                key=reading.rollout_id.encode(),
                partition=PARTITION,
                headers=[
                    *cloud_event_headers(
                        event_type=ROLLOUT_STATE_TYPE,
                        event_id=f"{reading.rollout_id}/{reading.counted_at_ms}",
                        source="/weir/rollout-controller",
                        time_ms=reading.counted_at_ms,
                    )
                ],
                on_delivery=delivered,
            )
            left = producer.flush(DELIVERY_S_MAX)
        except (BufferError, KafkaException) as error:
            raise unreachable(self._bootstrap, str(error)) from error
        if failures or left:
            self._producer = None
            why = failures[0] if failures else f"no answer within {DELIVERY_S_MAX:g} s"
            raise unreachable(self._bootstrap, why)

    def _open(self) -> Producer:
        if self._producer is None:
            self._producer = Producer(
                {
                    "bootstrap.servers": self._bootstrap,
                    "enable.idempotence": True,
                    "acks": "all",
                    "linger.ms": 0,
                    "compression.type": "zstd",
                    "delivery.timeout.ms": int(DELIVERY_S_MAX * 1_000),
                    "client.id": "weir-rollout-controller",
                    "log_level": 0,
                }
            )
        return self._producer


def _decoded(rollout_id: str, value: bytes | None) -> RolloutSnapshot | None:
    try:
        return decode_snapshot(value)
    except InvalidEventError as error:
        logger.warning("the snapshot of rollout %s cannot be read: %s", rollout_id, error)
        return None
