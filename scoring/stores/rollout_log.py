"""The topic ``rollouts``: read whole, and written one change at a time.

Called by the commands, the API and the controller, each of which may write: the log decides whose
change counts. `scoring.stores.rollouts` follows the same topic for those who score.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from clients.kafka import topic_partitions, unreachable
from clients.kafka_log import TopicLog
from clients.log_record import Record
from schemas.errors import InvalidEventError
from schemas.rollout import RolloutChange
from schemas.rollout_codec import decode_rollout_change, encode_rollout_change
from schemas.topics import (
    ROLLOUT_CHANGE_TYPE,
    ROLLOUTS,
    check_event_type,
    cloud_event_headers,
)
from scoring.core.errors import RolloutConflictError
from scoring.core.rollout_history import RolloutHistory

DELIVERY_S_MAX: Final = 10.0
"""Longest wait for the broker to take a change, s."""
PARTITION: Final = 0
"""All changes are in this partition, so that there is one order."""


class IgnoredRecord(NamedTuple):
    """A record of the log that changes nothing."""

    offset: int
    error: InvalidEventError
    change: RolloutChange | None
    """None if it could not be read."""


class RolloutLog:
    """The log of one deployment's rollouts. Opens a connection for each call."""

    def __init__(self, bootstrap: str, *, source: str, topic: str = ROLLOUTS) -> None:
        """Point at a broker; nothing is asked before the first call.

        Args:
            bootstrap: Kafka's address.
            source: who writes changes, such as ``/weir/cli``.
            topic: the log.
        """
        self._bootstrap = bootstrap
        self._source = source
        self._topic = topic

    def read(self) -> RolloutHistory:
        """Read the log to its end, every revision.

        Blocks: some hundred ms; up to half a minute while the broker is silent.

        Raises:
            KafkaUnreachableError: no answer, or the topic is missing.
        """
        history, _ = self.read_with_ignored()
        return history

    def read_with_ignored(self) -> tuple[RolloutHistory, list[IgnoredRecord]]:
        """Read the log to its end, and give the records that change nothing, too."""
        history = RolloutHistory(keeps_revisions=True)
        with TopicLog(self._bootstrap, self._topic) as log:
            span = log.ranges[PARTITION]
            records = log.read(PARTITION, first=span.first, end=span.end)
            return history, list(fold(records, history))

    def write(self, change: RolloutChange) -> None:
        """Write a change and check that it counts: another writer may have been faster.

        The caller has made it from what `read` gave. Exactly one of two writers of the same
        revision succeeds; the other one gets an error, and its record changes nothing.

        Delivery: when this returns, every follower will apply the change.
        Blocks: up to `DELIVERY_S_MAX` and the time of a `read`.

        Raises:
            RolloutConflictError: another change of the same revision came first.
            KafkaUnreachableError: the broker did not take the change, or did not answer. The
                change may be in the log all the same: read again before repeating it.
        """
        self._produce(change)
        _, ignored = self.read_with_ignored()
        for record in ignored:
            if record.change is not None and record.change.key == change.key:
                raise RolloutConflictError(
                    f"the change of rollout {change.rollout.rollout_id} does not count: "
                    f"{record.error}"
                )

    def _produce(self, change: RolloutChange) -> None:
        topic_partitions(self._bootstrap, (self._topic,))
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(error)

        producer = Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "delivery.timeout.ms": int(DELIVERY_S_MAX * 1_000),
                "client.id": "weir-rollouts",
                "log_level": 0,
            }
        )
        try:
            producer.produce(
                self._topic,
                encode_rollout_change(change),
                key=change.key,
                partition=PARTITION,
                headers=[
                    *cloud_event_headers(
                        event_type=ROLLOUT_CHANGE_TYPE,
                        event_id=change.key.decode(),
                        source=self._source,
                        time_ms=change.changed_at_ms,
                    )
                ],
                on_delivery=delivered,
            )
            left = producer.flush(DELIVERY_S_MAX)
        except (BufferError, KafkaException) as error:
            raise unreachable(self._bootstrap, str(error)) from error
        if failures or left:
            why = failures[0] if failures else f"no answer within {DELIVERY_S_MAX:g} s"
            raise unreachable(self._bootstrap, why)


def fold(records: Iterator[Record], history: RolloutHistory) -> Iterator[IgnoredRecord]:
    """Apply records to a history; give those that change nothing, each with the reason."""
    for record in records:
        ignored = apply_record(record, history)
        if ignored is not None:
            yield ignored


def apply_record(record: Record, history: RolloutHistory) -> IgnoredRecord | None:
    """Apply one record to a history; None if it counted."""
    change = None
    try:
        check_event_type(record.headers, expected=ROLLOUT_CHANGE_TYPE)
        change = decode_rollout_change(record.value)
        history.apply(change)
    except InvalidEventError as error:
        return IgnoredRecord(record.offset, error, change)
    return None
