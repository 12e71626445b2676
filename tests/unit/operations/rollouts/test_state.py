"""What is counted of a rollout: the same however the log is cut, and after a restart."""

import json
from itertools import pairwise

import numpy as np
import pytest

from operations.rollouts.batches import shares_at
from operations.rollouts.state import RolloutState
from operations.rollouts.statistics.fixed_tests import Moments
from schemas.rollout import Plan, Strategy
from tests.rollout_builders import arms, rollout
from tests.rollout_events import decision_batch, mature_batch


def fed(strategy: Strategy, *cuts: int) -> RolloutState:
    """A state after 2,000 decisions and labels in pieces, restored from JSON between them."""
    started = rollout(
        strategy, arms=arms(7_000, 3_000) if strategy != "canary" else arms(9_500, 500)
    )
    decisions, mature = decision_batch(2_000, p=0.3), mature_batch(2_000, p=0.3)
    state = RolloutState(started)
    edges = [0, *cuts, 2_000]
    for begin, end in pairwise(edges):
        state.update(decisions.part(begin, end))
        state.update_mature(mature.part(begin, end))
        stored = json.dumps(state.to_json())
        state = RolloutState(started)
        state.restore(json.loads(stored))
    return state


@pytest.mark.parametrize("strategy", ["canary", "ab", "bandit"])
def test_the_state_is_the_same_however_the_log_is_cut_and_however_often_it_restarts(
    strategy: Strategy,
) -> None:
    whole = fed(strategy).to_json()
    for pieces in (fed(strategy, 1, 2, 1_200), fed(strategy, *range(100, 2_000, 100))):
        found = pieces.to_json()
        difference = whole["challengers"]["challenger"].pop("difference", None)
        other = found["challengers"]["challenger"].pop("difference", None)
        assert found == whole  # To the last bit.
        if difference is not None:
            # The interval's sums within clusters are added in another order.
            for name in ("sum", "weight", "cluster_squares", "log_e_max"):
                assert other[name] == pytest.approx(difference[name], rel=1e-12)
            whole["challengers"]["challenger"]["difference"] = difference


def test_arms_are_counted_apart() -> None:
    batch = decision_batch(1_000, p=0.3, is_error=np.arange(1_000) < 10)
    state = RolloutState(rollout("ab"))
    state.update(batch)
    own = state.totals["challenger"]
    assert own.decisions == (batch.arm == 1).sum()
    assert own.errors == (batch.arm[:10] == 1).sum()
    assert own.outcomes == [int((batch.outcome[batch.arm == 1] == each).sum()) for each in range(3)]
    assert own.mean_score == pytest.approx(batch.score[batch.arm == 1].mean())
    assert own.share_of(0) == own.outcomes[0] / own.decisions
    assert RolloutState(rollout("ab")).totals["control"].share_of(0) == 0.0


def test_decisions_of_a_stage_are_counted_from_its_first_on() -> None:
    state = RolloutState(rollout())
    stage = np.array([0] * 30 + [1] * 20 + [0] * 5 + [1] * 45)
    batch = decision_batch(100, stage=stage)
    state.update(batch.part(0, 30))
    assert state.stage_decisions("challenger", 0) == (batch.arm[:30] == 1).sum()
    assert state.stage_decisions("challenger", 1) == 0
    state.update(batch.part(30, 100))
    assert state.stage_decisions("challenger", 1) == ((batch.arm == 1) & (stage == 1)).sum()


def test_rows_of_one_call_are_one_observation() -> None:
    # Two partitions; calls of four rows each, and a call whose rows come in two batches.
    arm = np.ones(24, dtype=int)
    decided_at_ms = np.array([10] * 4 + [10] * 4 + [20] * 8 + [20] * 4 + [30] * 4)
    partition = np.array([0] * 4 + [1] * 4 + [0] * 8 + [1] * 8)
    batch = decision_batch(
        24,
        arm=arm,
        decided_at_ms=decided_at_ms,
        partition=partition,
        is_error=decided_at_ms == 20,
        model_ms=np.where(decided_at_ms == 10, 500.0, 1.0),
    )
    state = RolloutState(rollout())
    state.update(batch.part(0, 10))
    state.update(batch.part(10, 24))
    challenger = state.challengers["challenger"]
    assert (challenger.calls, challenger.failed_calls, challenger.slow_calls) == (5, 2, 2)


def test_decisions_whose_arm_was_no_draw_compare_nothing() -> None:
    events = 500
    batch = decision_batch(
        events, arm=np.ones(events, dtype=int), shares=np.repeat([[0.0], [1.0]], events, axis=1)
    )
    state = RolloutState(rollout())
    state.update(batch)
    challenger = state.challengers["challenger"]
    assert challenger.calls == events
    assert challenger.outcomes is not None
    assert challenger.outcomes.log_e.tolist() == [0.0] * 6
    assert state.sample_ratio.counts == [0, 0]


def test_the_planned_look_is_at_exactly_its_number_of_decisions() -> None:
    batch = mature_batch(1_000)
    looks = []
    for cuts in ((), (699, 700, 701), (700,), (100, 950)):
        state = RolloutState(rollout("ab", plan=Plan(planned_decisions=700)))
        for begin, end in zip((0, *cuts), (*cuts, 1_000), strict=True):
            state.update_mature(batch.part(begin, end))
        looks.append([state.totals[name].planned for name in ("control", "challenger")])
        assert state.mature_decisions == 1_000
    first = batch.part(0, 700)
    losses = first.loss[first.arm == 1]
    assert looks[0][1] == Moments(len(losses), losses.sum(), losses.sum())
    assert looks[1:] == looks[:1] * 3


def test_empty_batches_change_nothing() -> None:
    state = RolloutState(rollout())
    before = json.dumps(state.to_json())
    state.update(decision_batch(5).part(0, 0))
    state.update_mature(mature_batch(5).part(0, 0))
    assert json.dumps(state.to_json()) == before


def test_shares_are_those_of_each_revision() -> None:
    shares = shares_at([arms(9_500, 500), arms(5_000, 5_000)])
    assert shares.tolist() == [[0.95, 0.5], [0.05, 0.5]]


def test_the_state_of_a_canary_stays_small() -> None:
    assert len(json.dumps(fed("canary").to_json())) < 100_000
