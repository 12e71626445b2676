"""Report that a transaction was fraud. To withdraw it, send a later report with ``False``."""

import json
import os
import sys
import time

from kafka import KafkaProducer

transaction_id, merchant_id, event_time_ms = sys.argv[1], sys.argv[2], int(sys.argv[3])
producer = KafkaProducer(bootstrap_servers=os.environ.get("WEIR_KAFKA_BOOTSTRAP", "127.0.0.1:9092"))
label = {
    "transaction_id": transaction_id,
    "merchant_id": merchant_id,  # the transaction's
    "event_time_ms": event_time_ms,  # the transaction's
    "observed_time_ms": int(time.time() * 1000),  # when you learned it
    "is_fraud": True,
}
producer.send("labels", key=merchant_id.encode(), value=json.dumps(label).encode()).get(timeout=30)
producer.close()
