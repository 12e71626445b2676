"""Bytes that an event leaves behind: in Kafka's topics, in Redis, in the archive and in Flink.

Everything is counted before a load and after it, each time when nothing is on its way any more, and
the difference is divided by the events. The users and merchants are known before, so what grows is
what their further events add. Two parts are counted twice: Redis' file as it has grown, and
rewritten, which Redis does by itself when the file has doubled; and the archive as it was written,
and compacted, which the archiver does every hour.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from features.definitions import HOUR_MS
from features.online.layout import JOIN_KEYS, entity_key
from operations.labels.send import LabelsTopic, OutgoingLabel
from operations.online_rebuild.states import connect
from schemas.label import Label
from schemas.topics import DECISIONS, FEATURES, LABELS, TRANSACTIONS
from scoring.stores.kept_decisions import CONTEXTS_KEY
from scoring.stores.lost_decisions import LOCK_KEY, MARKER_KEY
from tests.bench.bench_stack import BenchStack, say
from tests.bench.load import Load
from tests.bench.scenarios import Choices, Entry, fill, row, shown
from tests.bench.settle import until_settled
from tests.bench.storage_report import (
    ARCHIVE,
    AS_GROWN,
    AS_WRITTEN,
    CHECKPOINTS,
    FIRST_DECISIONS,
    MEMORY,
    OTHER_KEYS,
    OTHER_TOPICS,
    REWRITTEN,
    STATES,
    WORKING_COPY,
)
from training.archive.store import ArchiveTable
from training.archive.tables import TABLES

EVENTS_OF_A_USER = 12
EVENTS_OF_A_LABEL = 25
HAPPENED_PER_S = 500.0
"""Rate at which the events of the backlog happened."""
REWRITTEN_S_MAX = 120.0


@dataclass(frozen=True)
class Stored:
    """What is stored at one moment.

    Attributes:
        disk: bytes of files by part.
        memory: bytes of Redis' memory by kind of key, and all of it.
        entries: keys of Redis by kind; of first decisions, all that are kept.
        rewrites: how often Redis has rewritten its file since it started.
    """

    disk: dict[str, int]
    memory: dict[str, int]
    entries: dict[str, int]
    rewrites: int


def storage(stack: BenchStack, choices: Choices) -> Entry:
    """Bytes an event of a backlog, and of a load at 500 events/s."""
    stack.fresh()
    events = choices.backlog()
    rows = [_row(stack, choices, events, rate_per_s=None)]
    rows += [_row(stack, choices, events, rate_per_s=rate) for rate in choices.or_rates(500)]
    return {"rows": rows}


def _row(stack: BenchStack, choices: Choices, events: int, *, rate_per_s: float | None) -> Any:
    """Runs of one kind, one after the other, by the same users."""
    users = max(1, events // EVENTS_OF_A_USER)
    population = {"users": users, "population": f"s{rate_per_s or 0:g}"}
    fill(stack, users, past_ms=HOUR_MS, **population)
    before = settled(stack)
    runs = []
    for _ in range(choices.runs):
        past_ms = round(events / HAPPENED_PER_S * 1_000) if rate_per_s is None else 0
        load = stack.load(events, rate_per_s=rate_per_s, past_ms=past_ms, **population)
        done = stack.run(load, drain_s=60 + events / 500)
        say(shown(done))
        if done.undecided:
            raise SystemExit(f"{done.undecided} of {events} events have no decision")
        _label(stack, load)
        after = settled(stack)
        runs.append(growth(before, after, events=events))
        say(f"{runs[-1]}")
        before = after
    return row({"rate_per_s": rate_per_s, "events": events, "users": users}, runs)


def growth(before: Stored, after: Stored, *, events: int) -> dict[str, Any]:
    """What was added for each event, and what a state or a decision takes as a whole, bytes."""
    # The growth began when the file had been rewritten, and the archive compacted.
    began = {AS_GROWN: before.disk[REWRITTEN], AS_WRITTEN: before.disk[ARCHIVE]}
    disk = _each(after.disk, {**before.disk, **began}, events)
    return {
        "disk": disk,
        "disk_all": round(sum(each for part, each in disk.items() if part not in began), 1),
        "memory": _each(after.memory, before.memory, events),
        "whole": {
            kind: round(after.memory[kind] / after.entries[kind])
            for kind in (FIRST_DECISIONS, *STATES.values())
            if after.entries.get(kind)
        },
        "redis_rewrites": after.rewrites - before.rewrites - 1,
    }


def _each(after: dict[str, int], before: dict[str, int], events: int) -> dict[str, float]:
    return {name: round((size - before.get(name, 0)) / events, 1) for name, size in after.items()}


def settled(stack: BenchStack) -> Stored:
    """Wait until everything is written, and count it; Redis rewrites its file for that."""
    until_settled(stack)
    client = connect(stack.settings)
    try:
        memory, entries = _memory(client)
        # A file system may reserve the blocks of a file when it writes them.
        os.sync()
        grown = _bytes_of(stack.stack.layout.redis_data)
        rewrites = _rewritten(client)
    finally:
        client.close()
    written = _bytes_of(Path(stack.settings.archive_url))
    for name in TABLES:
        # Nothing is written meanwhile, so no file is needed any more that was replaced.
        ArchiveTable(stack.settings.archive_url, name).compact(keep_hours=0)
    disk = {**_disk(stack), AS_GROWN: grown, AS_WRITTEN: written}
    return Stored(disk, memory, entries, rewrites)


def _disk(stack: BenchStack) -> dict[str, int]:
    os.sync()
    layout = stack.stack.layout
    topics = Counter({TRANSACTIONS: 0, LABELS: 0, FEATURES: 0, DECISIONS: 0, OTHER_TOPICS: 0})
    for directory in layout.kafka_data.iterdir():
        topic = directory.name.rpartition("-")[0]
        topics[topic if topic in topics else OTHER_TOPICS] += _bytes_of(directory)
    return {
        **topics,
        REWRITTEN: _bytes_of(layout.redis_data),
        ARCHIVE: _bytes_of(Path(stack.settings.archive_url)),
        CHECKPOINTS: _bytes_of(layout.checkpoints) + _bytes_of(layout.savepoints),
        WORKING_COPY: _bytes_of(layout.tmp / "taskmanager"),
    }


def _bytes_of(path: Path) -> int:
    """Bytes that were written to the files of a directory.

    Kafka makes index files of 10 MiB with holes, so a file counts no more than its blocks.
    """
    if path.is_file():
        found = path.stat()
        return min(found.st_size, found.st_blocks * 512)
    total = 0
    for directory, _, names in os.walk(path):
        for name in names:
            try:
                found = os.lstat(Path(directory) / name)
            except FileNotFoundError:  # a file that was replaced meanwhile
                continue
            total += min(found.st_size, found.st_blocks * 512)
    return total


def _memory(client: redis.Redis) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes of Redis' memory, and numbers of entries, by kind."""
    found: Any = client.info("memory")
    memory = Counter({MEMORY: int(found["used_memory"])})
    entries: Counter[str] = Counter()
    names = list(client.scan_iter(count=1_000))
    for start in range(0, len(names), 1_000):
        some = names[start : start + 1_000]
        pipeline: Any = client.pipeline(transaction=False)
        for name in some:
            # All fields, not a sample of them: those of a hash differ in length.
            pipeline.memory_usage(name, samples=0)
        for name, size in zip(some, pipeline.execute(), strict=True):
            memory[_kind(name)] += size or 0
            entries[_kind(name)] += 1
    # The hash of a day has many.
    no_day = {CONTEXTS_KEY, MARKER_KEY, LOCK_KEY}
    days = [name for name in names if _kind(name) == FIRST_DECISIONS and name not in no_day]
    entries[FIRST_DECISIONS] = sum(int(client.hlen(name)) for name in days)
    return dict(memory), dict(entries)


def _kind(key: bytes) -> str:
    for name, start in _KINDS.items():
        if key.startswith(start):
            return name
    return OTHER_KEYS


_KINDS = {
    FIRST_DECISIONS: b"weir:decisions:",
    # The name of the join key comes after twelve bytes of lengths and types.
    **{
        kind: entity_key(entity, "", "")[: 12 + len(JOIN_KEYS[entity])]
        for entity, kind in STATES.items()
    },
}
"""What the keys of each kind begin with."""


def _rewritten(client: redis.Redis) -> int:
    """Have Redis rewrite its file and wait; says how often it has since it started."""
    deadline_s = time.time() + REWRITTEN_S_MAX
    while _persistence(client)["aof_rewrite_in_progress"]:
        time.sleep(0.2)
    done = int(_persistence(client)["aof_rewrites"])
    client.bgrewriteaof()
    while time.time() < deadline_s:
        found = _persistence(client)
        is_busy = found["aof_rewrite_in_progress"] or found["aof_rewrite_scheduled"]
        if not is_busy and int(found["aof_rewrites"]) > done:
            # A thread of its own deletes the old files.
            time.sleep(1)
            return int(found["aof_rewrites"])
        time.sleep(0.2)
    raise SystemExit(f"Redis did not rewrite its file within {REWRITTEN_S_MAX:g} s")


def _persistence(client: redis.Redis) -> Any:
    return client.info("persistence")


def _label(stack: BenchStack, load: Load) -> None:
    """Report every so many transactions of a load, by the thousand."""
    now_ms = time.time_ns() // 1_000_000
    labels = [
        OutgoingLabel(
            Label(
                f"{load.run}-{at}",
                body.partition(b'"merchant_id":"')[2].partition(b'"')[0].decode(),
                now_ms,
                now_ms,
                is_fraud=True,
            ),
            source="/bench",
            headers=(),
        )
        for at, (_, body) in enumerate(load.transactions())
        if at % EVENTS_OF_A_LABEL == 0
    ]
    topic = LabelsTopic(stack.settings.kafka_bootstrap)
    for start in range(0, len(labels), 1_000):
        topic.send(labels[start : start + 1_000], now_ms=now_ms)
