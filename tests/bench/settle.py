"""Waits until a stack has nothing left to do for the events that it has decided on.

The archiver, the job's checkpoints, Redis' rewrite of its file and the job's rewrite of all states
work on after the last decision. What they still do would count for the next load.
"""

from __future__ import annotations

import time
from typing import Any

from clients.kafka_log import end_offsets
from infra.local.lag import read_lags
from operations.online_rebuild.states import connect, read_progress
from schemas.topics import TRANSACTIONS
from tests.bench.bench_stack import BenchStack
from training.archive.store import ArchiveTable
from training.archive.tables import TABLES
from training.errors import NoArchiveError

SETTLED_S_MAX = 300.0
ONLINE_S = 3.0
"""The writer to Redis has written all states by then."""
CHECKPOINTS_KEPT = 3


def until_settled(stack: BenchStack) -> None:
    """Wait until archive, checkpoints and Redis are complete.

    Raises:
        SystemExit: they are not within `SETTLED_S_MAX`.
    """
    deadline_s = time.time() + SETTLED_S_MAX
    while not (_is_archived(stack) and _is_in_checkpoint(stack)) or _rewrites(stack):
        if time.time() > deadline_s:
            raise SystemExit(
                f"within {SETTLED_S_MAX:g} s archive, checkpoint or Redis is not complete"
            )
        time.sleep(1)
    # Older checkpoints keep files that no newer one needs.
    interval_s = stack.settings.checkpoint_interval_ms / 1_000
    time.sleep(max(ONLINE_S, CHECKPOINTS_KEPT * interval_s))


def _is_archived(stack: BenchStack) -> bool:
    for topic in TABLES:
        ends = end_offsets(stack.settings.kafka_bootstrap, topic)
        table = ArchiveTable(stack.settings.archive_url, topic)
        try:
            if any(table.next_offset(partition) < end for partition, end in ends.items()):
                return False
        except NoArchiveError:
            if any(ends.values()):
                return False
    return True


def _is_in_checkpoint(stack: BenchStack) -> bool:
    """Whether a checkpoint has all transactions: the job commits their offsets with it."""
    lags = read_lags(stack.settings.kafka_bootstrap)
    return not any(lag.records for lag in lags if lag.topic == TRANSACTIONS)


def _rewrites(stack: BenchStack) -> bool:
    client = connect(stack.settings)
    try:
        found: Any = client.info("persistence")
        states = read_progress(client, stack.settings).values()
        return bool(
            found["aof_rewrite_in_progress"]
            or found["aof_rewrite_scheduled"]
            or not all(rewrite.is_done for rewrite in states)
        )
    finally:
        client.close()
