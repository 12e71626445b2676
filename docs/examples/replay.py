"""Send old transactions again, one JSON object per line, in the order of their event times."""

import json
import os
import sys
from pathlib import Path

from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers=os.environ.get("WEIR_KAFKA_BOOTSTRAP", "127.0.0.1:9092"))
with Path(sys.argv[1]).open("rb") as lines:
    transactions = sorted(map(json.loads, lines), key=lambda event: event["event_time_ms"])
sent = [
    producer.send(
        "transactions",
        key=transaction["user_id"].encode(),
        value=json.dumps(transaction).encode(),
        headers=[("weir-replay", b"1")],  # on every record of a replay
    )
    for transaction in transactions
]
for record in sent:
    record.get(timeout=30)  # raises if the broker refused the record
print(f"{len(sent)} transactions sent again")
producer.close()
