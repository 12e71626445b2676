"""The bare loop: confluent-kafka and dictionaries. Nothing is durable: the upper bound by hand.

A restart begins with empty windows. Batches grow with the load: all that has arrived is scored in
one call. Offsets are committed every second.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import orjson
import work
from confluent_kafka import Consumer, Producer

BATCH_MAX = 500
COMMIT_S = 1.0


def main() -> None:
    """Run for ever."""
    scorer = work.Scorer()
    users: dict[str, work.State] = {}
    merchants: dict[str, work.State] = {}
    consumer = Consumer(
        {
            "bootstrap.servers": work.BOOTSTRAP,
            "group.id": work.GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 20,
        }
    )
    producer = Producer(
        {"bootstrap.servers": work.BOOTSTRAP, "linger.ms": 5, "partitioner": "murmur2_random"}
    )
    consumer.subscribe([work.TOPIC_IN])
    committed_s = time.monotonic()
    while True:
        first = consumer.poll(0.1)
        messages = [] if first is None else [first, *consumer.consume(BATCH_MAX - 1, 0)]
        rows = []
        for message in messages:
            if message.error() is not None:
                continue
            transaction = orjson.loads(message.value())
            user = users.setdefault(transaction["user_id"], work.new_user())
            merchant = merchants.setdefault(transaction["merchant_id"], work.new_merchant())
            rows.append(work.fold_merchant(merchant, work.fold_user(user, transaction)))
        if rows:
            for decision in scorer.decide(rows):
                producer.produce(work.TOPIC_OUT, orjson.dumps(decision), decision["user_id"])
        producer.poll(0)
        if time.monotonic() - committed_s > COMMIT_S:
            producer.flush()
            if rows:
                consumer.commit(asynchronous=True)
            committed_s = time.monotonic()


if __name__ == "__main__":
    main()
