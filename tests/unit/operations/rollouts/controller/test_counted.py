"""What is read of a decision: the same whatever its features and its texts hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from operations.rollouts.controller.counted import CountedDecision, DecisionReader, transaction_key
from operations.rollouts.losses import OUTCOMES
from operations.rollouts.statistics.design_effect import cluster_of
from schemas.decision import Decision, PolicyRef, RolloutRef
from schemas.output_codec import encode_decision
from scoring.core.rollouts import DEGRADED_ARM_UNAVAILABLE
from tests.builders import DECISION
from tests.rollout_builders import rollout

ROLLOUT = rollout()


def decided(**changes: Any) -> Decision:
    of_a_rollout = replace(
        DECISION,
        rollout=RolloutRef(ROLLOUT.rollout_id, 1),
        arm="challenger",
        propensity=0.05,
        model_ms=1.5,
    )
    return replace(of_a_rollout, **changes)


def counted(decision: Decision) -> CountedDecision:
    return CountedDecision(
        transaction=transaction_key(decision.transaction_id),
        cluster=cluster_of(decision.user_id),
        partition=3,
        decided_at_ms=decision.decided_at_ms,
        revision=1,
        arm=1,
        is_error=DEGRADED_ARM_UNAVAILABLE in decision.degraded,
        model_ms=1.5,
        outcome=OUTCOMES.index(decision.decision),
        is_let_through=False,
        score=decision.score,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"features": {}},
        {"features": {"a": None, "b": 0.25}},
        {"features": {"a}": 1}},
        {"features": {'}"': 1, '","arm":"control': 2}},
        {"vector": []},
        {"vector": None},
        {"vector": [1.0, None, -2e-7]},
        {"user_id": ',"features":{"a":1}'},
        {"transaction_id": '","features":{'},
        {"degraded": (DEGRADED_ARM_UNAVAILABLE,)},
        {"decision": "BLOCK", "score": 1.0},
    ],
)
def test_a_decision_is_read_whatever_is_beside_what_is_counted(changes: dict[str, Any]) -> None:
    decision = decided(**changes)
    reader = DecisionReader(ROLLOUT)
    assert reader.read(encode_decision(decision), 3) == counted(decision)
    assert reader.unreadable == 0


def test_a_block_that_was_let_through_is_read_as_the_block_that_the_arm_decided() -> None:
    decision = decided(decision="APPROVE", policy=PolicyRef("let_through", 0.01))
    row = DecisionReader(ROLLOUT).read(encode_decision(decision), 3)
    assert row is not None
    assert (OUTCOMES[row.outcome], row.is_let_through) == ("BLOCK", True)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_ms": None},
        {"rollout": None, "arm": None},
        {"rollout": RolloutRef("another", 1)},
    ],
)
def test_repeats_and_decisions_of_other_rollouts_are_not_counted(changes: dict[str, Any]) -> None:
    reader = DecisionReader(ROLLOUT)
    assert reader.read(encode_decision(decided(**changes)), 3) is None
    assert reader.unreadable == 0


@pytest.mark.parametrize(
    ("part", "by"),
    [
        (b'"challenger"', b'"a third arm"'),
        (b'"score":', b'"scores":'),
        (b'"decided_at_ms":', b'"decided_at_ms":0.'),
        (b"}", b""),
        (b',"features":{', b',"features":{"a":[}],'),
    ],
)
def test_what_names_the_rollout_and_is_no_decision_is_told(part: bytes, by: bytes) -> None:
    broken = encode_decision(decided()).replace(part, by)
    reader = DecisionReader(ROLLOUT)
    assert reader.read(broken, 3) is None
    assert reader.unreadable == 1
