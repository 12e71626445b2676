"""Writes shadow decisions to Kafka: without waiting, and without a promise that each arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.topics import LIBRDKAFKA_PARTITIONER, RECORD_BYTES_MAX, SHADOW_DECISIONS

RECORDS_WAITING_MAX: Final = 10_000
"""Most records that wait for the broker."""
CLOSE_S_MAX: Final = 2.0
LINGER_MS: Final = 50
"""Linger time, ms: no caller waits for a shadow decision, and larger requests cost less."""


class KafkaShadowProducer:
    """A `ShadowProducer`. `send` may be called from one thread only."""

    def __init__(
        self, bootstrap: str, *, on_lost: Callable[[], None], topic: str = SHADOW_DECISIONS
    ) -> None:
        """Connect in the background.

        Args:
            bootstrap: Kafka's address.
            on_lost: called for each record that the broker did not take.
            topic: where to write.
        """
        self._topic = topic
        self._on_lost = on_lost
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "linger.ms": LINGER_MS,
                "queue.buffering.max.messages": RECORDS_WAITING_MAX,
                "message.max.bytes": RECORD_BYTES_MAX,
                "partitioner": LIBRDKAFKA_PARTITIONER,
                "client.id": "weir-shadow",
            }
        )

    def send(self, key: bytes, value: bytes, headers: list[tuple[str, str | bytes | None]]) -> bool:
        """Hand over a record; see the protocol."""
        try:
            self._producer.produce(
                self._topic, value, key=key, headers=headers, on_delivery=self._delivered
            )
        except (BufferError, KafkaException):
            return False
        finally:
            self._producer.poll(0)
        return True

    def close(self) -> None:
        """Deliver what was handed over, for at most `CLOSE_S_MAX`."""
        self._producer.flush(CLOSE_S_MAX)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._on_lost()
