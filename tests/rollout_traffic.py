"""Decisions and labels of a rollout for tests, written to Kafka as the scorer and people do.

`RolloutTraffic` has a clock of its own, which is Kafka's timestamp of what it writes, so that weeks
pass at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from confluent_kafka import Producer

from operations.rollouts.controller.topics import ControllerTopics
from schemas.codec import encode_label
from schemas.decision import Decision, Outcome, RolloutRef
from schemas.label import Label
from schemas.output_codec import encode_decision
from schemas.rollout import Rollout
from schemas.topics import HEADER_CONTROL, LIBRDKAFKA_PARTITIONER
from scoring.core.rollouts import DEGRADED_ARM_UNAVAILABLE, Assigner
from tests.builders import DECISION

USERS = 2_000


@dataclass(frozen=True)
class Behaviour:
    """How an arm decides.

    Attributes:
        outcomes: probability of APPROVE, REVIEW and BLOCK.
        score_shift: added to the scores.
        error_share: share of its decisions that another model made.
        model_ms: duration of each model call.
        missed: share of the fraud that it approves.
    """

    outcomes: tuple[float, float, float] = (0.9, 0.06, 0.04)
    score_shift: float = 0.0
    error_share: float = 0.0
    model_ms: float = 2.0
    missed: float = 0.5


GOOD = Behaviour()


@dataclass
class RolloutTraffic:
    """Writes decisions of a rollout; the same seed writes the same."""

    bootstrap: str
    topics: ControllerTopics
    now_ms: int
    fraud_rate: float = 0.08
    seed: int = 1
    decisions: list[Decision] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._number = 0
        self._producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "partitioner": LIBRDKAFKA_PARTITIONER,
                "linger.ms": 5,
                "queue.buffering.max.messages": 1_000_000,
            }
        )

    def decide(
        self,
        rollout: Rollout,
        events: int,
        *,
        gap_ms: int = 10,
        label_after_ms: int | None = None,
        **arms: Behaviour,
    ) -> None:
        """Write so many decisions, one each ``gap_ms``, and the labels of the frauds.

        Args:
            rollout: at the revision that decides.
            events: how many.
            gap_ms: time between two.
            label_after_ms: time until a fraud is reported; None for no labels.
            arms: how an arm decides, by name; `GOOD` if not named.
        """
        assigner = Assigner(rollout)
        for _ in range(events):
            self.now_ms += gap_ms
            self._number += 1
            ids = {
                "user_id": f"u-{self._random.randrange(USERS)}",
                "transaction_id": f"{rollout.rollout_id}-{self._number}",
            }
            assigned = assigner.assign(**ids)
            is_fraud = self._random.random() < self.fraud_rate
            behaviour = arms.get(assigned.arm, GOOD)
            decision = replace(
                self._decided(behaviour, is_fraud),
                **ids,
                decided_at_ms=self.now_ms,
                rollout=RolloutRef(rollout.rollout_id, rollout.revision),
                arm=assigned.arm,
                propensity=assigned.propensity,
            )
            self.decisions.append(decision)
            self.write(decision)
            if is_fraud and label_after_ms is not None:
                self.label(decision, at_ms=self.now_ms + label_after_ms)
        self.flush()

    def write(self, decision: Decision) -> None:
        """Write one decision."""
        self._produce(self.topics.decisions, decision.user_id, encode_decision(decision))

    def shadow(self, control: Decision, outcome: Outcome, score: float) -> None:
        """Write what the challenger of a shadow rollout makes of a transaction."""
        challenger = replace(
            control, arm="challenger", propensity=0.0, decision=outcome, score=score
        )
        beside = orjson.dumps({"decision": control.decision, "score": control.score})
        self._producer.produce(
            self.topics.shadow_decisions,
            encode_decision(challenger),
            key=control.user_id,
            timestamp=self.now_ms,
            headers=[(HEADER_CONTROL, beside)],
        )

    def label(self, decision: Decision, *, at_ms: int, is_fraud: bool = True) -> None:
        """Report a transaction."""
        label = Label(
            transaction_id=decision.transaction_id,
            merchant_id=decision.merchant_id or "m-1",
            event_time_ms=decision.event_time_ms,
            observed_time_ms=max(at_ms, decision.event_time_ms),
            is_fraud=is_fraud,
        )
        self._produce(self.topics.labels, label.merchant_id, encode_label(label), at_ms)

    def flush(self) -> None:
        """Wait until all is written."""
        assert self._producer.flush(30) == 0

    def _decided(self, behaviour: Behaviour, is_fraud: bool) -> Decision:
        draw = self._random.random()
        approve, review, _ = behaviour.outcomes
        outcome: Outcome = (
            "APPROVE" if draw < approve else "REVIEW" if draw < approve + review else "BLOCK"
        )
        if is_fraud:
            outcome = "APPROVE" if self._random.random() < behaviour.missed else "BLOCK"
        is_error = self._random.random() < behaviour.error_share
        score = min(max(self._random.betavariate(1.0, 6.0) + behaviour.score_shift, 0.0), 1.0)
        changes: dict[str, Any] = {"degraded": (DEGRADED_ARM_UNAVAILABLE,)} if is_error else {}
        return replace(
            DECISION,
            decision=outcome,
            score=score,
            model_ms=behaviour.model_ms,
            event_time_ms=self.now_ms,
            **changes,
        )

    def _produce(self, topic: str, key: str, value: bytes, at_ms: int | None = None) -> None:
        self._producer.produce(topic, value, key=key, timestamp=at_ms or self.now_ms)
        self._producer.poll(0)


def until(
    is_so: Callable[[], bool],
    step: Callable[[], object],
    *,
    steps_max: int = 200,
    seen: Callable[[], object] = lambda: "",
) -> None:
    """Step until something is so; fails with what is seen."""
    for _ in range(steps_max):
        if is_so():
            return
        step()
    raise AssertionError(f"not so after {steps_max} steps: {seen()}")
