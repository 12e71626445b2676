"""The process that sees the decisions arrive: `python -m tests.bench.watcher SPEC`.

Reads a topic from its end, takes the clock before it looks at a record, and notes when event i of
its run had its first decision. Only the transaction id is looked for; every so many records are
kept whole, to be read when the run is over. Prints ``ready``, then counts what it has.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import Consumer, TopicPartition

ID = b'"transaction_id":"'
KEPT_MAX = 5_000
_POLL_S = 0.05
_SHOWN_S = 0.5


@dataclass(frozen=True)
class Watch:
    """What to look for.

    Attributes:
        bootstrap: Kafka's address.
        topic: where decisions are.
        run: prefix of the transaction ids.
        events: how many there will be.
        until_s: when to give up, s since 1970.
        file: where to write what was seen.
    """

    bootstrap: str
    topic: str
    run: str
    events: int
    until_s: float
    file: str

    def to_json(self) -> str:
        """As the argument of a process."""
        return json.dumps(asdict(self))


@dataclass
class Seen:
    """What a watcher saw.

    Attributes:
        received_s: of event i, when its first decision arrived, s since 1970; NaN: never.
        appended_ms: Kafka's timestamp of that decision.
        repeats: further decisions.
        kept: some decisions whole, as (event, decision).
        cpu_s: of the watcher.
    """

    received_s: np.ndarray[Any, np.dtype[np.float64]]
    appended_ms: np.ndarray[Any, np.dtype[np.int64]]
    repeats: int
    kept: list[tuple[int, dict[str, Any]]]
    cpu_s: float

    @classmethod
    def load(cls, file: Path) -> Seen:
        """Read what a watcher wrote."""
        kept = []
        for line in _kept_file(file).read_bytes().splitlines():
            event, _, decision = line.partition(b"\t")
            kept.append((int(event), json.loads(decision)))
        with np.load(file, allow_pickle=False) as data:
            return cls(
                data["received_s"],
                data["appended_ms"],
                int(data["repeats"]),
                kept,
                float(data["cpu_s"]),
            )


def watch(spec: Watch) -> None:
    """Watch until all is seen or the time is over; writes ``spec.file``."""
    consumer = Consumer(
        {
            "bootstrap.servers": spec.bootstrap,
            "group.id": f"bench-{spec.run}",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 20,
            "queued.max.messages.kbytes": 65_536,
        }
    )
    found = consumer.list_topics(spec.topic, timeout=10).topics[spec.topic].partitions
    places = [
        TopicPartition(
            spec.topic,
            number,
            consumer.get_watermark_offsets(TopicPartition(spec.topic, number), timeout=10)[1],
        )
        for number in found
    ]
    consumer.assign(places)
    consumer.poll(0.5)
    print("ready", flush=True)
    received_s = np.full(spec.events, np.nan)
    appended_ms = np.zeros(spec.events, dtype=np.int64)
    kept: list[tuple[int, bytes]] = []
    keep_every = max(1, spec.events // KEPT_MAX)
    mark = ID + spec.run.encode() + b"-"
    seen = repeats = 0
    shown_s = now_s = time.time()
    while seen < spec.events and now_s < spec.until_s:
        message = consumer.poll(_POLL_S)
        now_s = time.time()
        if now_s - shown_s > _SHOWN_S:
            print(seen, flush=True)
            shown_s = now_s
        if message is None or message.error() is not None:
            continue
        value = message.value()
        begin = value.find(mark)
        if begin < 0:
            continue
        begin += len(mark)
        event = int(value[begin : value.index(b'"', begin)])
        if received_s[event] == received_s[event]:
            repeats += 1
            continue
        received_s[event] = now_s
        appended_ms[event] = message.timestamp()[1]
        seen += 1
        if event % keep_every == 0:
            kept.append((event, value))
    consumer.close()
    lines = [b"%d\t%b\n" % (event, value) for event, value in kept]
    _kept_file(Path(spec.file)).write_bytes(b"".join(lines))
    np.savez(
        spec.file,
        received_s=received_s,
        appended_ms=appended_ms,
        repeats=repeats,
        cpu_s=time.process_time(),
    )
    print(seen, flush=True)


def _kept_file(file: Path) -> Path:
    return file.with_suffix(".kept")


if __name__ == "__main__":
    watch(Watch(**json.loads(sys.argv[1])))
