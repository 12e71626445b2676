"""The velocity job alone: a backlog on one TaskManager, with a parallelism of 1 and of 2.

With a parallelism of 1 the job is one operator in one thread: source, both folds and sink. With 2
it is three operators of two subtasks each, which send events to each other: decode, the fold by
user and the fold by merchant. Only the job and what it needs run; nothing scores or archives.

A single task thread is not alone: the threads that read from Kafka, write to Redis and collect
garbage, and the broker, use other cores. So a parallelism of 1 is measured with one core for all
programs, too: to that, 2 on two cores is twice the threads on twice the cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from confluent_kafka import TopicPartition

from clients.kafka import open_consumer
from clients.kafka_log import end_offsets
from infra.local.layout import REPO
from schemas.topics import FEATURES
from tests.bench.bench_stack import BenchStack, say
from tests.bench.load import Load
from tests.bench.scenarios import Choices, Entry, row
from tests.bench.usage import between, look

PROGRAMS = ("kafka", "redis", "jobmanager", "taskmanager", "velocity-job")
"""The job and what it needs."""
WAYS = ((1, 1), (1, None), (2, None))
"""Parallelism, and how many cores the programs have; None: all."""
EVENTS = 1_000_000
WARM_UP_EVENTS = 1_000_000
"""Backlog before the one that counts: the JVM compiles meanwhile."""
SLOWEST_PER_S = 2_000
POLL_S = 0.1


def task_threads(stack: BenchStack, choices: Choices) -> Entry:
    """Rows of `features` a second with one task thread and with two, in turns."""
    if not stack.is_ours:
        raise SystemExit(
            "task_threads starts its stack with other settings; stop the one in "
            f"{stack.settings.data_dir} first"
        )
    events = choices.events or EVENTS
    runs: dict[tuple[int, int | None], list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(choices.runs):
        for parallelism, cores in WAYS:
            stack.restart_empty(programs=PROGRAMS, flink_parallelism=parallelism)
            if cores is not None:
                _keep_to(stack.pids().values(), cores)
            drained(stack, min(events, WARM_UP_EVENTS))
            found = drained(stack, events)
            say(f"parallelism {parallelism}, {cores or 'all'} cores: {json.dumps(found)}")
            runs[parallelism, cores].append(found)
    # The scenario after this one asks the registry.
    stack.restart_empty()
    rows = [
        row({"parallelism": parallelism, "cores": cores or os.cpu_count()}, of_way)
        for (parallelism, cores), of_way in runs.items()
    ]
    return {"backlog": events, "rows": rows}


def _keep_to(pids: Iterable[int], cores: int) -> None:
    """Keep all threads of some programs to so many cores; what they start inherits it."""
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), range(cores))


def drained(stack: BenchStack, events: int) -> dict[str, Any]:
    """Send a backlog and wait until the job has written all its rows.

    Measured from the moment when all of it is sent: until then the sender uses the cores, too.
    """
    load = stack.load(events, rate_per_s=None)
    with _Rows(stack.settings.kafka_bootstrap) as rows:
        first = rows.count()
        began_s = time.time()
        _send(load, stack.settings.kafka_bootstrap)
        pids = stack.pids()
        before, rows_before = look(pids), rows.count()
        until_s = time.time() + 60 + events / SLOWEST_PER_S
        while (written := rows.count()) < first + events:
            if time.time() > until_s:
                missing = first + events - written
                raise SystemExit(f"the job did not write {missing} of {events} rows in time")
            time.sleep(POLL_S)
        used = between(before, look(pids))
    measured = written - rows_before
    return {
        "rows_per_s": round(measured / used.seconds, 1),
        "sent_s": round(before.at_s - began_s, 2),
        **used.to_json(measured),
    }


def _send(load: Load, bootstrap: str) -> None:
    start_s = repr(time.time())
    command = [sys.executable, "-m", "tests.bench.load", load.to_json(), bootstrap, start_s]
    subprocess.run(command, cwd=REPO, check=True, stdout=subprocess.DEVNULL)


class _Rows:
    """How many rows the feature log has; a context manager."""

    def __init__(self, bootstrap: str) -> None:
        self._partitions = [
            TopicPartition(FEATURES, number) for number in end_offsets(bootstrap, FEATURES)
        ]
        self._consumer = open_consumer(bootstrap)

    def __enter__(self) -> _Rows:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def count(self) -> int:
        """Ask the broker."""
        ends = [
            self._consumer.get_watermark_offsets(partition, timeout=10, cached=False)[1]
            for partition in self._partitions
        ]
        return sum(ends)
