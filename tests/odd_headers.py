"""A producer of headers whose names are not UTF-8, which Kafka does not check."""

from __future__ import annotations

from typing import Any

from kafka import KafkaProducer


class OddName(str):
    """A header's name that is encoded as these bytes; only kafka-python can be made to send it."""

    __slots__ = ()

    def encode(self, *_arguments: Any) -> bytes:
        return b"\xff\xfe\xc3("


def send_odd_header(
    bootstrap: str, topic: str, value: bytes | None, *, key: bytes, partition: int | None = None
) -> tuple[int, int]:
    """Send a record with such a header; gives its partition and offset."""
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    headers = [("trace", b"1"), (OddName("odd"), b"value")]
    sent = producer.send(topic, key=key, value=value, headers=headers, partition=partition)
    place = sent.get(30)
    producer.close()
    return place.partition, place.offset
