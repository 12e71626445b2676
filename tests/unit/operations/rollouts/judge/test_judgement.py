"""Rollouts are judged: guards first, then inputs, then the strategy; always with a reason."""

from typing import Any

import numpy as np
import pytest

from operations.rollouts.judge.judgement import judge
from operations.rollouts.judge.verdict import Verdict, after
from operations.rollouts.state import RolloutState
from schemas.rollout import Plan, Rollout, Strategy
from schemas.rollout_rules import check_rollout
from tests.builders import NOW_MS
from tests.rollout_builders import arms, rollout
from tests.rollout_events import decision_batch, mature_batch

HOUR_MS = 3_600_000
SOON = Plan(stage_decisions_min=100, matured_decisions_min=500)


def judged(
    started: Rollout, *, now_ms: int = NOW_MS + HOUR_MS, mature: Any = None, **changes: Any
) -> Verdict:
    """The verdict after 4,000 decisions."""
    p = started.challengers[0].share_bp / 10_000
    state = RolloutState(started)
    state.update(decision_batch(4_000, **{"p": p, **changes}))
    if mature is not None:
        state.update_mature(mature)
    return judge(started, state, now_ms=now_ms)


def next_of(started: Rollout, verdict: Verdict) -> Rollout:
    """The state after a verdict; it makes sense."""
    state = after(started, verdict, now_ms=NOW_MS + HOUR_MS)
    assert state is not None
    check_rollout(state)
    assert state.revision == started.revision + 1
    return state


def test_a_canary_advances_after_its_time_and_its_decisions_and_not_before() -> None:
    started = rollout(plan=SOON)
    verdict = judged(started)
    assert verdict.action == "advance"
    advanced = next_of(started, verdict)
    assert (advanced.stage, advanced.challengers[0].share_bp) == (1, 1_500)
    assert advanced.stage_since_ms == NOW_MS + HOUR_MS
    early = judged(started, now_ms=NOW_MS + HOUR_MS - 1_000)
    assert early.action == "go_on"
    assert "advances after 1 s" in early.reason
    few = judged(rollout(plan=Plan(stage_decisions_min=10_000)))
    assert few.action == "go_on"
    assert "more decisions" in few.reason
    assert after(started, few, now_ms=NOW_MS) is None


def test_a_canary_waits_at_half_of_the_traffic_for_mature_labels_and_then_goes_on() -> None:
    half = rollout(plan=SOON, stage=3, arms=arms(5_000, 5_000))
    stage = np.full(4_000, 3)
    waiting = judged(half, stage=stage)
    assert waiting.action == "go_on"
    assert "the labels of 500 more decisions of each arm are mature (30 days old)" in waiting.reason
    verdict = judged(half, stage=stage, mature=mature_batch(2_000))
    assert next_of(half, verdict).challengers[0].share_bp == 7_500


def test_a_canary_completes_after_its_last_stage() -> None:
    last = rollout(plan=SOON, stage=5, arms=arms(0, 10_000))
    verdict = judged(last, stage=np.full(4_000, 5), mature=mature_batch(2_000), p=0.999999)
    assert verdict.action == "complete"
    assert "version 4 takes over" in verdict.reason
    assert next_of(last, verdict).status == "completed"


WORSE: dict[str, dict[str, Any]] = {
    "errors": {"is_error": np.random.default_rng(1).random(4_000) < 0.3},
    "slow": {"model_ms": np.where(np.random.default_rng(2).random(4_000) < 0.2, 300.0, 2.0)},
}


@pytest.mark.parametrize("guard", sorted(WORSE))
@pytest.mark.parametrize("strategy", ["canary", "ab", "bandit"])
def test_errors_and_slow_calls_roll_back_whatever_the_strategy(
    strategy: Strategy, guard: str
) -> None:
    started = rollout(strategy)
    verdict = judged(started, **WORSE[guard])
    assert verdict.action == "roll_back"
    assert f"Version 4 broke the guard {guard}:" in verdict.reason
    back = next_of(started, verdict)
    assert back.status == "rolled_back"
    assert back.control.share_bp == 10_000


def shifted(part: str) -> dict[str, Any]:
    """Decisions of a challenger with half of the traffic that differ in one respect."""
    batch = decision_batch(4_000)
    own = batch.arm == 1
    if part == "outcomes":
        blocked = own & (np.random.default_rng(3).random(4_000) < 0.15)
        return {"outcome": np.where(blocked, 2, batch.outcome)}
    return {"score": np.where(own, np.sqrt(batch.score), batch.score)}


@pytest.mark.parametrize("guard", ["outcomes", "scores"])
def test_a_shift_rolls_a_canary_back_and_not_an_ab_test(guard: str) -> None:
    half = rollout(stage=3, arms=arms(5_000, 5_000))
    verdict = judged(half, **shifted(guard))
    assert verdict.action == "roll_back"
    assert f"broke the guard {guard}:" in verdict.reason
    assert judged(rollout("ab"), **shifted(guard)).action == "go_on"


def test_a_loss_of_mature_labels_rolls_a_canary_back() -> None:
    half = rollout(stage=3, arms=arms(5_000, 5_000))
    verdict = judged(half, mature=mature_batch(4_000, rates=(0.05, 0.12)))
    assert verdict.action == "roll_back"
    assert "broke the guard loss: the mean loss of" in verdict.reason
    better = judged(half, mature=mature_batch(4_000, rates=(0.12, 0.05)))
    assert better.action == "go_on"


@pytest.mark.parametrize(
    ("rates", "recommendation", "said"),
    [
        ((0.12, 0.05), "promote", "Promote version 4: its loss is smaller."),
        ((0.05, 0.12), "keep", "Keep version 3: the loss of version 4 is larger."),
        ((0.08, 0.08), "go_on", "Go on: no winner yet."),
    ],
)
def test_an_ab_test_recommends_and_changes_nothing(
    rates: tuple[float, float], recommendation: str, said: str
) -> None:
    started = rollout("ab", plan=SOON)
    verdict = judged(started, mature=mature_batch(6_000, rates=rates))
    assert (verdict.action, verdict.recommendation) == ("go_on", recommendation)
    assert verdict.reason.startswith(said)
    names = [figure.name for figure in verdict.figures]
    assert {"lift", "lift_low", "lift_high", "p_value", "sample_ratio_p_value"} <= set(names)
    figures = {figure.name: figure.value for figure in verdict.figures}
    lift, low, high = (figures[name] for name in ("lift", "lift_low", "lift_high"))
    assert lift is not None
    assert low is not None
    assert high is not None
    assert low < lift < high
    if recommendation == "promote":
        assert low > 0


def test_an_ab_test_is_too_early_until_labels_are_mature() -> None:
    verdict = judged(rollout("ab"), mature=mature_batch(500, rates=(0.0, 0.5)))
    assert verdict.recommendation == "go_on"
    assert "the labels of 755 more decisions" in verdict.reason or "too early" in verdict.reason
    assert "Too few losses" in " ".join(figure.text for figure in judged(rollout("ab")).figures)


@pytest.mark.parametrize(
    ("mature", "recommendation"),
    [
        (mature_batch(999, rates=(0.3, 0.05)), "go_on"),
        (mature_batch(1_000, rates=(0.3, 0.05)), "promote"),
        (mature_batch(1_000, rates=(0.05, 0.3)), "keep"),
        (mature_batch(1_000, rates=(0.1, 0.1)), "keep"),
    ],
)
def test_a_planned_look_decides_at_its_number_and_no_other(
    mature: Any, recommendation: str
) -> None:
    started = rollout("ab", plan=Plan(planned_decisions=1_000))
    verdict = judged(started, mature=mature)
    assert verdict.recommendation == recommendation
    has_look = "planned_look_p_value" in {figure.name for figure in verdict.figures}
    assert has_look == (len(mature) == 1_000)


def test_a_bandit_moves_to_the_better_arm_when_it_is_time() -> None:
    started = rollout("bandit")
    mature = mature_batch(4_000, rates=(0.2, 0.1))
    verdict = judged(started, mature=mature)
    assert verdict.action == "reallocate"
    assert verdict.shares_bp == {"control": 500, "challenger": 9_500}
    moved = next_of(started, verdict)
    assert moved.challengers[0].share_bp == 9_500
    assert judged(started, mature=mature, now_ms=NOW_MS + 1).action == "go_on"
    assert "no decision with a mature label" in judged(started).reason


@pytest.mark.parametrize("strategy", ["canary", "ab", "bandit"])
def test_shares_that_do_not_come_out_pause(strategy: Strategy) -> None:
    started = rollout(strategy)
    shares = np.repeat([[0.7], [0.3]], 4_000, axis=1)
    verdict = judged(started, p=0.5, shares=shares)
    assert verdict.action == "pause"
    assert "The arms do not get their shares: control 1,985 of 2,800 expected" in verdict.reason
    paused = next_of(started, verdict)
    assert paused.status == "paused"
    assert paused.arms == started.arms


@pytest.mark.parametrize("strategy", ["canary", "ab", "bandit"])
def test_labels_that_stop_pause(strategy: Strategy) -> None:
    started = rollout(strategy)
    two_days_ms = started.plan.label_silence_ms_max
    state = RolloutState(started)
    state.latest_label_ms = NOW_MS + 5
    for late_ms, action in ((0, "go_on"), (1, "pause")):
        verdict = judge(started, state, now_ms=NOW_MS + 5 + two_days_ms + late_ms)
        assert verdict.action == action
    assert verdict.reason.startswith("No label has come for 2 days, limit 2 days")
    never = rollout(strategy, plan=Plan(label_silence_ms_max=0))
    assert judge(never, state, now_ms=NOW_MS * 2).action == "go_on"


def test_a_paused_rollout_is_rolled_back_and_nothing_else() -> None:
    paused = rollout(status="paused", plan=SOON)
    assert judged(paused).reason.startswith("Paused:")
    assert judged(paused, now_ms=NOW_MS * 2).action == "go_on"
    assert judged(paused, **WORSE["errors"]).action == "roll_back"


def test_what_people_route_and_what_has_ended_stays() -> None:
    for strategy in ("shadow", "blue_green"):
        assert judged(rollout(strategy), p=0.5).action == "go_on"  # type: ignore[arg-type]
    ended = rollout(status="aborted", arms=arms(10_000, 0))
    assert judged(ended, p=0.5).reason == "The rollout has ended: aborted."
