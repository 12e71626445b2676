"""Send one transaction and wait until the broker has it."""

import json
import os
import sys
import time

from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers=os.environ.get("WEIR_KAFKA_BOOTSTRAP", "127.0.0.1:9092"))
transaction = {
    "transaction_id": sys.argv[1],  # chosen by you, unique; sending it again is a repeat
    "user_id": "u-1",
    "merchant_id": "m-1",
    "amount_minor": 4250,  # 42.50 EUR: an integer of cents
    "currency": "EUR",
    "event_time_ms": int(time.time() * 1000),  # when it happened, not when it was sent
    "device_type": "mobile",  # optional
    "ip_country": "DE",  # optional
}
record = producer.send(
    "transactions",
    key=transaction["user_id"].encode(),
    value=json.dumps(transaction).encode(),
).get(timeout=30)
print(f"{record.topic}-{record.partition} offset {record.offset}")
producer.close()
