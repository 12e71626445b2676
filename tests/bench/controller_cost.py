"""CPU time of the rollout controller for each decision, without Kafka: `python -m` this module.

Encoded decisions go through the controller's own code as they do in a step of its loop: read,
counted, read a second time when their labels are mature, counted again, and judged once a step.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from features.definitions import FEATURE_NAMES
from operations.rollouts.controller.counted import DecisionReader, decision_batch, mature_batch
from operations.rollouts.controller.label_book import LabelBook
from operations.rollouts.judge.judgement import judge
from operations.rollouts.state import RolloutState
from schemas.decision import RolloutRef
from schemas.output_codec import encode_decision
from schemas.rollout import Rollout
from scoring.core.rollouts import Assigner
from tests.builders import DECISION
from tests.rollout_steps import NOW_MS, rollout

DECISIONS = 10_000
BATCHES = (100, 1_000, 2_000)
"""Decisions in a step, which takes those of a second, at most 2,000: at 100, 1,000 and 5,000/s."""
SEED = 1
USERS = 2_000

T = TypeVar("T")


def encoded(of: Rollout, *, per_ms: int) -> list[bytes]:
    """Decisions as on the topic, each model call with ``per_ms`` of them."""
    drawn, assigner = random.Random(SEED), Assigner(of)
    found = []
    for number in range(DECISIONS):
        ids = {"user_id": f"u-{drawn.randrange(USERS)}", "transaction_id": f"t-{number}"}
        assigned = assigner.assign(**ids)
        decision = replace(
            DECISION,
            user_id=ids["user_id"],
            transaction_id=ids["transaction_id"],
            features={name: 100 * drawn.random() for name in FEATURE_NAMES},
            score=drawn.random(),
            decided_at_ms=NOW_MS + number // per_ms,
            rollout=RolloutRef(of.rollout_id, of.revision),
            arm=assigned.arm,
            propensity=assigned.propensity,
            model_ms=1.0,
        )
        found.append(encode_decision(decision))
    return found


def cost(batch: int) -> dict[str, float]:
    """CPU time of each part, us a decision, with batches of this size."""
    of = rollout(strategy="canary")
    records = encoded(of, per_ms=batch)
    reader, state = DecisionReader(of), RolloutState(of)
    book = LabelBook(maturity_ms=of.plan.label_maturity_ms, labels_max=1)
    spent: Counter[str] = Counter()

    def timed(name: str, work: Callable[[], T]) -> T:
        begin_ns = time.process_time_ns()
        done = work()
        spent[name] += time.process_time_ns() - begin_ns
        return done

    def count(values: list[bytes]) -> None:
        rows = [row for value in values if (row := reader.read(value, 0)) is not None]
        state.update(decision_batch(rows, lambda _: of))

    def count_mature(values: list[bytes]) -> None:
        rows = [row for value in values if (row := reader.read(value, 0)) is not None]
        labels = [book.at(row.transaction, deadline_ms=0) for row in rows]
        state.update_mature(mature_batch(rows, labels, of.loss, lambda _: of))

    for begin in range(0, DECISIONS, batch):
        values = records[begin : begin + batch]
        timed("counted", lambda: count(values))  # noqa: B023
        timed("counted when mature", lambda: count_mature(values))  # noqa: B023
        timed("judged", lambda: judge(of, state, now_ms=NOW_MS + 60_000))
    return {name: round(ns / 1_000 / DECISIONS, 1) for name, ns in spent.items()}


if __name__ == "__main__":
    for size in BATCHES:
        found = cost(size)
        print(size, found, "sum", round(sum(found.values()), 1))
