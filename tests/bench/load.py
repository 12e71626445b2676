"""What is sent, and the process that sends it: `python -m tests.bench.load SPEC`.

Open loop: event i is due at ``start_s + i / rate_per_s``, whatever the system does, and its clock
starts then. Without a rate everything is due at once, and goes out as fast as the broker takes it.
Cheap, because the machine is small: one C call an event, woken at most 2,000 times a second.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from confluent_kafka import Producer

from schemas.topics import LIBRDKAFKA_PARTITIONER

WAKE_S = 0.0005
"""Shortest sleep of the sender, s: what it may be late by; that counts as latency."""
SENDER = {"linger.ms": 5, "acks": "all"}
"""How it sends: with the default linger of librdkafka and, since Kafka 4.0, of Java, without losing
anything. What an event waits for its batch is part of its latency."""


@dataclass(frozen=True)
class Load:
    """A number of transactions.

    Attributes:
        run: prefix of the transaction ids; no two runs into one system may share it.
        events: how many.
        rate_per_s: how many are due a second; None: all at once.
        users: how many users there are; drawn evenly.
        population: prefix of users and merchants; runs that share it share the state.
        merchants: how many merchants there are; drawn evenly.
        hot_share: share of the events that user 0 makes on top of its own.
        in_turn: users one after the other instead of drawn.
        past_ms: 0: an event happens when it is due. Otherwise the events happened evenly over
            this many ms before the start.
        seed: chooses users, merchants and amounts.
        topic: where to.
    """

    run: str
    events: int
    rate_per_s: float | None
    users: int = 5_000
    population: str = "b"
    merchants: int = 1_000
    hot_share: float = 0.0
    in_turn: bool = False
    past_ms: int = 0
    seed: int = 5
    topic: str = "transactions"

    @property
    def length_s(self) -> float:
        """How long it takes until all are due, s."""
        return 0.0 if self.rate_per_s is None else self.events / self.rate_per_s

    def transactions(self) -> Iterator[tuple[bytes, bytes]]:
        """Each event's key, and its body but for the event time and the closing brace."""
        rng = np.random.default_rng(self.seed)
        users = (
            np.arange(self.events) % self.users
            if self.in_turn
            else rng.integers(self.users, size=self.events)
        )
        if self.hot_share:
            users[rng.random(self.events) < self.hot_share] = 0
        merchants = rng.integers(self.merchants, size=self.events)
        amounts = rng.integers(100, 20_000, size=self.events)
        body = (
            f'{{"transaction_id":"{self.run}-%d","user_id":"{self.population}u%d",'
            f'"merchant_id":"{self.population}m%d","amount_minor":%d,"currency":"EUR",'
            '"device_type":"mobile","ip_country":"DE","event_time_ms":'
        ).encode()
        key = f"{self.population}u%d".encode()
        numbers = zip(users.tolist(), merchants.tolist(), amounts.tolist(), strict=True)
        for at, (user, merchant, amount) in enumerate(numbers):
            yield key % user, body % (at, user, merchant, amount)

    def due_s(self, start_s: float) -> np.ndarray[Any, np.dtype[np.float64]]:
        """When each event is due, s since 1970."""
        step_s = 0.0 if self.rate_per_s is None else 1 / self.rate_per_s
        return start_s + np.arange(self.events) * step_s

    def to_json(self) -> str:
        """As the argument of a process."""
        return json.dumps(asdict(self))


def send(load: Load, *, bootstrap: str, start_s: float) -> dict[str, float]:
    """Send all of it and wait for the broker; says how late the sender itself was."""
    producer = Producer(
        {
            **SENDER,
            "bootstrap.servers": bootstrap,
            "partitioner": LIBRDKAFKA_PARTITIONER,
            "queue.buffering.max.messages": 500_000,
        }
    )
    late_s = np.zeros(load.events, dtype=np.float32)
    events = load.transactions()
    past_step_ms = load.past_ms / load.events
    past_ms = int(start_s * 1000) - load.past_ms
    sent = 0
    while sent < load.events:
        now_s = time.time()
        if load.rate_per_s is None:
            due, step_s = (min(load.events, sent + 1_000) if now_s >= start_s else 0), 0.0
        else:
            due, step_s = int((now_s - start_s) * load.rate_per_s) + 1, 1 / load.rate_per_s
        due = min(due, load.events)
        while sent < due:
            due_s = start_s + sent * step_s
            key, body = next(events)
            happened_ms = past_ms + sent * past_step_ms if load.past_ms else due_s * 1000
            _produce(producer, load.topic, key, b"%b%d}" % (body, happened_ms))
            late_s[sent] = now_s - due_s
            sent += 1
        producer.poll(0)
        if load.rate_per_s is not None or now_s < start_s:
            time.sleep(max(WAKE_S, min(start_s + sent * step_s - time.time(), 0.1)))
    ended_s = time.time()
    if left := producer.flush(120):
        raise SystemExit(f"the broker did not take {left} of {load.events} events within 120 s")
    usage = time.process_time()
    return {
        "sent_s": ended_s - start_s,
        "late_p50_ms": round(float(np.percentile(late_s, 50)) * 1000, 3),
        "late_p99_ms": round(float(np.percentile(late_s, 99)) * 1000, 3),
        "cpu_s": round(usage, 3),
    }


def _produce(producer: Producer, topic: str, key: bytes, value: bytes) -> None:
    while True:
        try:
            producer.produce(topic, value, key)
            return
        except BufferError:
            producer.poll(0.05)


def main() -> None:
    """Send what the arguments say; the report is one JSON object."""
    spec = json.loads(sys.argv[1])
    print(json.dumps(send(Load(**spec), bootstrap=sys.argv[2], start_s=float(sys.argv[3]))))


if __name__ == "__main__":
    main()
