"""kill -9 of one process at a time under load: nothing is lost, repeats are identical."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import orjson
import pytest

from clients.log_record import Record
from schemas import topics
from tests.services import Services
from tests.topic_tail import Tail, by_transaction, tail
from tests.traffic import Traffic

RATE = 200.0
BEFORE_S = 8.0
AFTER_S = 4.0
ANSWER_MS_MAX = 120_000

WHAT_A_REPEAT_REPEATS = (
    *("decision", "score", "model", "features"),
    *("vector_digest", "features_offset"),
)
"""The fields in which a repeat of a decision must agree with it (ADR 0006)."""


def kill(services: Services, program: str) -> None:
    assert services.stack is not None
    pid = services.stack.pid(program)
    os.kill(pid, signal.SIGKILL)
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        status = {entry.name: entry for entry in services.stack.status()}[program]
        if status.pid not in (0, pid) and status.ready:
            return
        time.sleep(0.2)
    raise AssertionError(f"{program} did not come back: {status}")


def assert_nothing_lost(
    tail_: Tail, sent: dict[str, Any], *, repeats_agree_in: tuple[str, ...]
) -> dict[str, list[Any]]:
    """Every sent transaction is there, and what is there twice says the same twice."""
    tail_.until(
        lambda _: len(by_transaction(tail_, set(sent))) == len(sent), within_ms=ANSWER_MS_MAX
    )
    found = by_transaction(tail_, set(sent))
    for transaction_id, records in found.items():
        first = {name: records[0][1][name] for name in repeats_agree_in}
        for _, repeat in records[1:]:
            assert {name: repeat[name] for name in repeats_agree_in} == first, transaction_id
    repeats = sum(len(records) - 1 for records in found.values())
    print(f"{tail_.topic}: {len(found)} of {len(sent)}, {repeats} repeats")
    return found


def until_decided(decisions: Tail, prefix: str, first: int) -> None:
    """Wait for a decision of the transaction number ``first`` of a traffic, or of a later one."""
    looked_at = 0

    def is_decided(records: list[Record]) -> bool:
        nonlocal looked_at
        new, looked_at = records[looked_at:], len(records)
        ids = (orjson.loads(each.value or b"")["transaction_id"] for each in new)
        return any(id_.startswith(prefix) and int(id_.rpartition("-")[2]) >= first for id_ in ids)

    decisions.until(is_decided, within_ms=ANSWER_MS_MAX)


@pytest.mark.usefixtures("idle_users")  # for test_lost_redis.py, which need not kill it again
@pytest.mark.parametrize("program", ["taskmanager", "scorer", "redis"])
def test_killing_one_process_loses_no_decision_and_repeats_are_identical(
    weir_stack: Services, program: str
) -> None:
    bootstrap = weir_stack.kafka_bootstrap
    with tail(bootstrap, topics.FEATURES) as rows, tail(bootstrap, topics.DECISIONS) as decisions:
        with Traffic(bootstrap, rate=RATE, users=40) as traffic:
            time.sleep(BEFORE_S)
            kill(weir_stack, program)
            # It goes on beyond the recovery, however long that takes.
            until_decided(decisions, traffic.prefix, len(traffic.sent))
            time.sleep(AFTER_S)
        assert_nothing_lost(rows, traffic.sent, repeats_agree_in=("transaction", "features"))
        found = assert_nothing_lost(decisions, traffic.sent, repeats_agree_in=WHAT_A_REPEAT_REPEATS)
    offsets = {
        (record.partition, record.offset): obj
        for record, obj in zip(rows.records, rows.objects(), strict=True)
    }
    for transaction_id, records in found.items():
        place = records[0][1]["features_offset"]
        row = offsets[place["partition"], place["offset"]]
        assert row["transaction"]["transaction_id"] == transaction_id
        assert records[0][1]["features"] == row["features"]
