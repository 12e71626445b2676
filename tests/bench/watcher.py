"""The process that measures when decisions arrive: `python -m tests.bench.watcher SPEC`.

Follows a topic from its end, reads the clock before it looks at a record, and notes when event i of
its run had its first decision. Decodes nothing: it searches the transaction id, and keeps some
records to be decoded after the run. Prints ``ready``, then how many events are decided.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clients.topic_tail import TopicTail
from infra.simulation.arrivals import FirstArrivals, RunIds

KEPT_MAX = 5_000
_POLL_S = 0.05
_SHOWN_S = 0.5


@dataclass(frozen=True)
class Watch:
    """What to watch.

    Attributes:
        bootstrap: Kafka's address.
        topic: the topic of the decisions.
        run: prefix of the transaction ids.
        events: how many there will be.
        until_s: when to give up, s since 1970.
        file: where to write the result.
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
    """The result of a watcher.

    Attributes:
        received_s: of event i, when its first decision arrived, s since 1970; NaN: never.
        appended_ms: Kafka's timestamp of that decision.
        repeats: further decisions.
        kept: some of the decisions, as (event, decision).
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
    """Watch until every decision has arrived or the time is over; writes ``spec.file``."""
    ids = RunIds(spec.run, count=spec.events)
    arrivals = FirstArrivals(count=spec.events)
    received_s = np.full(spec.events, np.nan)
    appended_ms = np.zeros(spec.events, dtype=np.int64)
    kept: list[tuple[int, bytes]] = []
    keep_every = max(1, spec.events // KEPT_MAX)
    with TopicTail(spec.bootstrap, spec.topic) as tail:
        # Connects the client before the first event is sent.
        tail.poll(0.5)
        print("ready", flush=True)
        shown_s = now_s = time.time()
        while arrivals.missing and now_s < spec.until_s:
            message = tail.poll(_POLL_S)
            now_s = time.time()
            if now_s - shown_s > _SHOWN_S:
                print(arrivals.arrived, flush=True)
                shown_s = now_s
            if message is None:
                continue
            value = message.value()
            event = ids.position_in(value)
            if event is None or not arrivals.note(event):
                continue
            received_s[event] = now_s
            appended_ms[event] = message.timestamp()[1]
            if event % keep_every == 0:
                kept.append((event, value))
    lines = [b"%d\t%b\n" % (event, value) for event, value in kept]
    _kept_file(Path(spec.file)).write_bytes(b"".join(lines))
    np.savez(
        spec.file,
        received_s=received_s,
        appended_ms=appended_ms,
        repeats=arrivals.repeats,
        cpu_s=time.process_time(),
    )
    print(arrivals.arrived, flush=True)


def _kept_file(file: Path) -> Path:
    return file.with_suffix(".kept")


if __name__ == "__main__":
    watch(Watch(**json.loads(sys.argv[1])))
