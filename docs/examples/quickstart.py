"""Send one transaction and print its decision."""

import json
import os
import time
import uuid

from kafka import KafkaConsumer, KafkaProducer

kafka = os.environ.get("WEIR_KAFKA_BOOTSTRAP", "127.0.0.1:9092")
event = {
    "transaction_id": str(uuid.uuid4()),
    "user_id": "u-1",
    "merchant_id": "m-1",
    "amount_minor": 4250,
    "currency": "EUR",
    "event_time_ms": int(time.time() * 1000),
}
KafkaProducer(bootstrap_servers=kafka).send(
    "transactions", key=b"u-1", value=json.dumps(event).encode()
).get(timeout=30)
for record in KafkaConsumer("decisions", bootstrap_servers=kafka, auto_offset_reset="earliest"):
    if record.value and event["transaction_id"] in record.value.decode():
        print(record.value.decode())
        break
