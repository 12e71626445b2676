"""Sends labels to Kafka, for `weir label` and for the label checker."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from clients.kafka import topic_partitions, unreachable
from schemas.codec import encode_label
from schemas.label import Label
from schemas.topics import (
    LABEL_TYPE,
    LABELS,
    LIBRDKAFKA_PARTITIONER,
    REPLAY_HEADER,
    cloud_event_headers,
)

DELIVERY_S_MAX: Final = 30.0


class OutgoingLabel(NamedTuple):
    """A label to send.

    Attributes:
        label: the label; its merchant is the key.
        source: who sends it, such as ``/weir/cli``.
        headers: in addition to those of every label.
    """

    label: Label
    source: str
    headers: tuple[tuple[str, bytes], ...]


class Place(NamedTuple):
    """Where in the topic `labels` a record is."""

    partition: int
    offset: int


class LabelsTopic:
    """The topic `labels`, to send to."""

    def __init__(self, bootstrap: str) -> None:
        """Point at a broker; nothing is asked before the first call.

        Args:
            bootstrap: Kafka's address.
        """
        self._bootstrap = bootstrap

    def partitions(self) -> list[int]:
        """Give the partitions that the topic has now.

        Raises:
            KafkaUnreachableError: no answer, or the topic is missing.
        """
        return topic_partitions(self._bootstrap, (LABELS,))[LABELS]

    def send(self, labels: Sequence[OutgoingLabel], *, now_ms: int) -> list[Place]:
        """Send labels and wait until the broker has them.

        Delivery: at least once; a repeat of a label changes nothing.
        Blocks: up to `DELIVERY_S_MAX`.
        On failure: some of the labels may have arrived.

        Args:
            labels: to send, in this order.
            now_ms: the clock, ms since 1970 UTC. A label observed later is marked as a replay,
                which the label that it repeats must have been, too.

        Returns:
            Where each label is, in their order.

        Raises:
            KafkaUnreachableError: Kafka does not answer, or does not accept a label.
        """
        self.partitions()
        places: dict[int, Place] = {}
        failures: list[KafkaError] = []

        def delivered(number: int, error: KafkaError | None, message: Message) -> None:
            if error is not None:
                failures.append(error)
            else:
                places[number] = Place(message.partition() or 0, message.offset() or 0)

        producer = self._producer()
        try:
            for number, outgoing in enumerate(labels):
                producer.produce(
                    LABELS,
                    encode_label(outgoing.label),
                    key=outgoing.label.merchant_id.encode(),
                    headers=_headers(outgoing, now_ms),
                    on_delivery=partial(delivered, number),
                )
                producer.poll(0)
            producer.flush(DELIVERY_S_MAX)
        except (BufferError, KafkaException) as error:
            raise unreachable(self._bootstrap, str(error)) from error
        if failures or len(places) < len(labels):
            why = failures[0] if failures else f"no answer within {DELIVERY_S_MAX:g} s"
            raise unreachable(self._bootstrap, why)
        return [places[number] for number in range(len(labels))]

    def _producer(self) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "enable.idempotence": True,
                "partitioner": LIBRDKAFKA_PARTITIONER,
                "delivery.timeout.ms": int(DELIVERY_S_MAX * 1_000),
                "log_level": 0,
            }
        )


def _headers(outgoing: OutgoingLabel, now_ms: int) -> list[tuple[str, str | bytes | None]]:
    label = outgoing.label
    headers = cloud_event_headers(
        event_type=LABEL_TYPE,
        event_id=f"{label.transaction_id}@{label.observed_time_ms}",
        source=outgoing.source,
        time_ms=label.observed_time_ms,
    )
    replay = [REPLAY_HEADER] if label.observed_time_ms > now_ms else []
    return [*headers, *outgoing.headers, *replay]
