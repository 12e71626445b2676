"""A policy that never decided: estimated where the log tried what it does, refused where not."""

from __future__ import annotations

import numpy as np
import pytest

from operations.rollouts.evaluation.evaluate import (
    Evaluation,
    LoggedDecisions,
    NoOverlap,
    evaluate,
)
from operations.rollouts.losses import FRAUD, NO_LABEL, NOT_FRAUD, OUTCOMES
from operations.rollouts.statistics.running import Floats, Integers
from schemas.rollout import LossWeights

APPROVE, REVIEW, BLOCK = (OUTCOMES.index(name) for name in ("APPROVE", "REVIEW", "BLOCK"))
WEIGHTS = LossWeights()


def history(
    events: int = 50_000, *, let_through: float = 0.1, seed: int = 3
) -> tuple[LoggedDecisions, Floats, Integers]:
    """Scores above 0.9 are blocked, of which a share is let through; and the truth of all."""
    random = np.random.default_rng(seed)
    scores = random.random(events)
    is_fraud = random.random(events) < scores**4
    outcome = np.where(scores > 0.9, BLOCK, APPROVE)
    is_block = outcome == BLOCK
    is_let_through = is_block & (random.random(events) < let_through)
    drawn = np.where(is_let_through, let_through, 1 - let_through)
    has_label = ~is_block | is_let_through
    label = np.where(has_label & is_fraud, FRAUD, np.where(has_label, NOT_FRAUD, NO_LABEL))
    log = LoggedDecisions(
        outcome,
        is_let_through,
        np.where(is_block & (let_through > 0), drawn, np.nan),
        label,
    )
    return log, scores, is_fraud.astype(int)


def test_what_blocks_would_have_cost_is_estimated_from_those_let_through() -> None:
    log, scores, is_fraud = history()
    wanted = np.full(len(log), APPROVE)
    found = evaluate(log, wanted, scores, WEIGHTS)
    assert isinstance(found, Evaluation)
    truth = is_fraud.mean()
    for estimate in (found.ips, found.snips, found.doubly_robust):
        assert estimate.low < truth < estimate.high
    assert found.ips.effective_events < len(log)
    assert found.doubly_robust.high - found.doubly_robust.low <= found.ips.high - found.ips.low
    assert found.changed == pytest.approx((log.outcome == BLOCK).mean())


def test_the_intervals_miss_as_often_as_they_say() -> None:
    missed = 0
    for seed in range(200):
        log, scores, _ = history(4_000, let_through=0.2, seed=seed)
        found = evaluate(log, np.full(len(log), APPROVE), scores, WEIGHTS)
        assert isinstance(found, Evaluation)
        # The mean over all histories; that of this one varies with it.
        missed += not found.ips.low < 0.2 < found.ips.high
    assert missed <= 20


def test_a_policy_that_blocks_more_needs_no_let_through() -> None:
    log, scores, is_fraud = history(let_through=0.0)
    wanted = np.where(scores > 0.8, BLOCK, APPROVE)
    found = evaluate(log, wanted, scores, WEIGHTS)
    assert isinstance(found, Evaluation)
    more = (scores > 0.8) & (scores <= 0.9)
    truth = np.where(wanted == APPROVE, is_fraud * WEIGHTS.missed_fraud, 0.0)
    truth = np.where(more, (1 - is_fraud) * WEIGHTS.false_block, truth)
    truth = np.where(scores > 0.9, WEIGHTS.unlabelled_block, truth)
    assert found.ips.value == pytest.approx(truth.mean())
    assert found.ips.effective_events == len(log)


def test_the_policy_that_decided_loses_what_was_lost() -> None:
    log, scores, _ = history(let_through=0.0)
    found = evaluate(log, log.outcome, scores, WEIGHTS)
    assert isinstance(found, Evaluation)
    assert found.ips.value == found.snips.value == pytest.approx(found.logged_loss)
    assert found.changed == 0


def test_what_was_always_blocked_is_refused_with_what_to_do() -> None:
    log, scores, _ = history(let_through=0.0)
    found = evaluate(log, np.full(len(log), APPROVE), scores, WEIGHTS)
    assert isinstance(found, NoOverlap)
    assert "were always blocked" in found.reason
    assert "--let-through 1" in found.reason


def test_too_few_that_were_let_through_are_refused() -> None:
    log, scores, _ = history(1_000, let_through=0.05)
    found = evaluate(log, np.full(len(log), APPROVE), scores, WEIGHTS)
    assert isinstance(found, NoOverlap)
    assert "at least 30 are needed" in found.reason


def test_without_decisions_there_is_nothing_to_estimate() -> None:
    log, scores, _ = history(0)
    found = evaluate(log, log.outcome, scores, WEIGHTS)
    assert isinstance(found, NoOverlap)
