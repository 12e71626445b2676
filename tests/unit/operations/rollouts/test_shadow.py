"""What is counted of a shadow rollout, and how it is told."""

from __future__ import annotations

import json
from dataclasses import replace

import orjson
import pytest

from operations.rollouts.judge.judgement import judge
from operations.rollouts.shadow import ShadowPair, ShadowTotals, read_pair, shadow_figures
from operations.rollouts.state import RolloutState
from schemas.decision import RolloutRef
from schemas.output_codec import encode_decision
from tests.builders import DECISION
from tests.rollout_steps import NOW_MS, rollout

OF = rollout(strategy="shadow")
APPROVE, REVIEW, BLOCK = range(3)
SHADOW = replace(
    DECISION,
    decision="REVIEW",
    score=0.75,
    rollout=RolloutRef(OF.rollout_id, 1),
    arm="challenger",
    propensity=0.0,
    model_ms=1.5,
)
CONTROL = orjson.dumps({"decision": "APPROVE", "score": 0.25})


def told(totals: ShadowTotals, *, decisions: int = 10) -> dict[str, tuple[float | None, str]]:
    figures = shadow_figures(OF, totals, decisions=decisions)
    return {each.name: (each.value, each.text) for each in figures}


def counted() -> ShadowTotals:
    totals = ShadowTotals()
    for pair in (
        *[ShadowPair(APPROVE, APPROVE, 0.1, 0.1, 0.4)] * 6,
        ShadowPair(APPROVE, REVIEW, 0.4, 0.6, 3.0),
        ShadowPair(REVIEW, BLOCK, 0.8, 0.95, 3.0),
        ShadowPair(BLOCK, BLOCK, 0.95, 0.9, 3.0),
        ShadowPair(BLOCK, APPROVE, 0.92, 0.02, 2_000.0),
    ):
        totals.add(pair)
    return totals


def test_a_record_holds_what_both_versions_decided() -> None:
    assert read_pair(OF, encode_decision(SHADOW), CONTROL) == ShadowPair(
        APPROVE, REVIEW, 0.25, 0.75, 1.5
    )
    other = replace(SHADOW, rollout=RolloutRef("other", 1), user_id=OF.rollout_id)
    assert read_pair(OF, encode_decision(other), None) is None


@pytest.mark.parametrize(
    ("value", "control"),
    [
        (encode_decision(SHADOW), None),
        (encode_decision(SHADOW), b"{}"),
        (encode_decision(SHADOW), b"\xff"),
        (encode_decision(replace(SHADOW, model_ms=None)), CONTROL),
        (encode_decision(SHADOW)[:-1], CONTROL),
    ],
)
def test_what_is_no_shadow_decision_is_an_error(value: bytes, control: bytes | None) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        read_pair(OF, value, control)


def test_agreement_mix_score_difference_and_latency_are_told() -> None:
    figures = told(counted())
    assert figures["shadow_decisions"][0] == 10
    assert figures["shadow_agreement"][0] == pytest.approx(0.7)
    assert figures["shadow_approve_share"][1] == (
        "APPROVE: 70.00% of the transactions with version 2, 70.00% now."
    )
    assert figures["shadow_review_share"][0] == pytest.approx(0.1)
    assert figures["shadow_block_share"][1].startswith("BLOCK: 20.00% of")
    value, text = figures["shadow_score_difference"]
    assert value == pytest.approx(0.13)
    assert text == (
        "The scores differ by 0.1300 on average and by 0.9000 at most; those of version 2 are "
        "0.0600 lower on average."
    )
    assert figures["shadow_model_ms_p99"] == (
        None,
        "A model call of version 2, for up to 16 rows, takes at most 0.5 ms for half of the "
        "transactions and more than 1,000 ms for 99 % of them.",
    )


def test_without_pairs_only_their_number_is_told() -> None:
    assert list(told(ShadowTotals())) == ["shadow_decisions"]


def test_the_sums_survive_a_restart_and_are_part_of_the_verdict() -> None:
    state = RolloutState(OF)
    state.shadow = counted()
    restored = RolloutState(OF)
    restored.restore(json.loads(json.dumps(state.to_json())))
    assert restored.shadow == state.shadow
    verdict = judge(OF, restored, now_ms=NOW_MS)
    assert verdict.action == "go_on"
    assert {each.name for each in verdict.figures} >= {"shadow_agreement", "shadow_decisions"}
    assert RolloutState(rollout(strategy="ab")).shadow is None
