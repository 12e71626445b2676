"""Print the decision of each transaction once; stop after the transaction named, if any."""

import json
import os
import sys

from kafka import KafkaConsumer

wanted = sys.argv[1] if len(sys.argv) > 1 else None
consumer = KafkaConsumer(
    "decisions",
    bootstrap_servers=os.environ.get("WEIR_KAFKA_BOOTSTRAP", "127.0.0.1:9092"),
    group_id="my-service",  # your own name; the members of a group share the partitions
    auto_offset_reset="earliest",  # a new group starts at the oldest decision
    enable_auto_commit=False,
)
seen = set()  # in a real service: a table with transaction_id as its key
for record in consumer:
    decision = json.loads(record.value)
    if decision["transaction_id"] not in seen:
        seen.add(decision["transaction_id"])
        print(decision["transaction_id"], decision["decision"], decision["score"], flush=True)
    consumer.commit()  # after the work: a crash then repeats work and loses nothing
    if decision["transaction_id"] == wanted:
        break
consumer.close()
