"""Print the refused records and the reasons; stop after five seconds without a new one."""

import os

from kafka import KafkaConsumer

consumer = KafkaConsumer(
    "dead-letters",
    bootstrap_servers=os.environ.get("WEIR_KAFKA_BOOTSTRAP", "127.0.0.1:9092"),
    auto_offset_reset="earliest",
    consumer_timeout_ms=5_000,
)
for record in consumer:
    # The record's own headers come first; if a name occurs twice, the last one counts.
    headers = dict(record.headers)
    if "__connect.errors.topic" not in headers:
        continue  # another program has written it
    topic = headers["__connect.errors.topic"].decode()
    partition = headers["__connect.errors.partition"].decode()
    offset = headers["__connect.errors.offset"].decode()
    reason = headers["__connect.errors.exception.message"].decode()
    print(f"{topic}-{partition} offset {offset}: {reason}")
    # A value that was too large for the topic is described instead: length, digest, first bytes.
    shown = headers.get("weir-value-head", record.value)
    print(f"  the record as it came: {shown!r:.200}")
consumer.close()
