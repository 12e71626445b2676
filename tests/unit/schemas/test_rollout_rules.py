"""A rollout whose fields do not agree, and a change that may not follow, are refused."""

from dataclasses import replace
from typing import Any

import pytest

from schemas.errors import InvalidEventError
from schemas.rollout import Arm, Limits, Plan, Status, Strategy
from schemas.rollout_rules import check_only_active, check_rollout, check_successor
from tests.builders import NOW_MS
from tests.rollout_builders import arms, rollout, start_of

THREE = (*arms(4_000, 3_000), Arm("second", "5", 3_000))


@pytest.mark.parametrize(
    ("strategy", "changes", "said"),
    [
        ("canary", {"arms": arms(9_500, 501)}, "add up to 10001, limit 10000: control=9500"),
        ("canary", {"arms": THREE}, "has 3 arms, a canary has 2 to 2"),
        ("ab", {"arms": arms(10_000, 0)[:1]}, "has 1 arms, a ab has 2"),
        ("ab", {"arms": (Arm("a", "1", 1), Arm("b", "1", 9_999))}, "no arm named control"),
        ("ab", {"arms": (Arm("control", "1", 1), Arm("control", "2", 9_999))}, "an arm twice"),
        ("ab", {"arms": arms(10_000, 0)}, "an arm without traffic"),
        ("ab", {"stage": 1}, "stage is 1, must be 0"),
        ("ab", {"salt": "a\0b"}, "salt has the character NUL"),
        ("ab", {"stage_since_ms": NOW_MS - 1}, "stage_since_ms is"),
        ("ab", {"limits": Limits(score_cutoffs=(0.5, 0.5))}, "limits.score_cutoffs is"),
        ("canary", {"stage": 6}, "stage is 6, limit 5"),
        ("canary", {"stage": 1}, "gives the challenger 500, must be 1500"),
        ("canary", {"plan": Plan(stages_bp=())}, "plan.stages_bp is [], must rise"),
        ("canary", {"plan": Plan(stages_bp=(500, 900))}, "must rise from above 0 and end with"),
        ("canary", {"plan": Plan(stages_bp=(0, 10_000))}, "must rise from above 0 and end with"),
        ("canary", {"plan": Plan(stages_bp=(500, 500, 10_000))}, "must rise"),
        ("shadow", {"arms": arms(9_500, 500)}, "gives the control 9500, must be 10000"),
        ("blue_green", {"arms": arms(9_500, 500)}, "one arm must have all: 10000"),
        ("bandit", {"arms": arms(9_501, 499)}, "share of 499, limit plan.exploration_bp_min=500"),
        ("bandit", {"plan": Plan(exploration_bp_min=0)}, "limit 1 to 5000 for 2 arms"),
        ("bandit", {"plan": Plan(exploration_bp_min=5_001)}, "limit 1 to 5000 for 2 arms"),
    ],
)
def test_fields_that_do_not_agree_are_refused(
    strategy: Strategy, changes: dict[str, Any], said: str
) -> None:
    check_rollout(rollout(strategy))
    with pytest.raises(InvalidEventError) as refused:
        check_rollout(rollout(strategy, **changes))
    assert said in str(refused.value)


def test_only_an_arm_of_the_rollout_may_be_asked_for() -> None:
    check_rollout(rollout("ab", promotes="challenger"))
    with pytest.raises(InvalidEventError, match="promotes is 'green', must be one of control, ch"):
        check_rollout(rollout("ab", promotes="green"))


def test_a_bandit_has_three_arms_and_a_canary_rests_at_no_traffic() -> None:
    check_rollout(rollout("bandit", arms=THREE))
    check_rollout(rollout("canary", arms=arms(10_000, 0), status="paused"))
    check_rollout(rollout("canary", arms=arms(10_000, 0), status="rolled_back", stage=3))


def test_the_next_revision_follows_and_no_other() -> None:
    first = rollout()
    check_successor(None, start_of(first))
    check_successor(first, start_of(replace(first, revision=2, status="paused")))
    for present, revision in ((None, 2), (first, 1), (first, 3)):
        with pytest.raises(InvalidEventError, match=f"revision is {revision}, must be"):
            check_successor(present, start_of(replace(first, revision=revision)))


@pytest.mark.parametrize("status", ["completed", "aborted", "rolled_back"])
def test_nothing_follows_the_end(status: Status) -> None:
    ended = rollout(status=status)
    with pytest.raises(InvalidEventError, match=f"status is {status}: the rollout has ended"):
        check_successor(ended, start_of(replace(ended, revision=2, status="running")))


def test_a_winner_may_be_taken_back_after_the_end_and_nothing_else() -> None:
    won = rollout(status="completed", arms=arms(0, 10_000))
    asked = replace(won, revision=2, takes_back=True)
    back = replace(won, status="rolled_back", arms=arms(10_000, 0))
    check_successor(won, start_of(asked))
    check_successor(won, start_of(replace(back, revision=2)))
    check_successor(asked, start_of(replace(back, revision=3)))
    check_successor(asked, start_of(replace(won, revision=3)))
    kept = rollout(status="completed", arms=arms(10_000, 0))
    for present, after in (
        (won, replace(won, revision=2)),
        (won, replace(won, revision=2, status="aborted")),
        (won, replace(asked, arms=arms(10_000, 0))),
        (won, replace(back, revision=2, arms=arms(5_000, 5_000))),
        (asked, replace(asked, revision=3)),
        (kept, replace(kept, revision=2, status="rolled_back")),
        (kept, replace(kept, revision=2, takes_back=True)),
        (replace(back, revision=2), replace(asked, revision=3)),
    ):
        with pytest.raises(InvalidEventError, match="the rollout has ended"):
            check_successor(present, start_of(after))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"status": "completed", "arms": arms(10_000, 0)},
        {"status": "rolled_back", "arms": arms(0, 10_000)},
    ],
)
def test_only_a_winner_may_be_taken_back(changes: dict[str, Any]) -> None:
    check_rollout(rollout(status="completed", arms=arms(0, 10_000), takes_back=True))
    with pytest.raises(InvalidEventError, match="takes_back is true, and no challenger has won"):
        check_rollout(rollout(takes_back=True, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"salt": "other"},
        {"model_name": "other"},
        {"plan": Plan(alpha=0.1)},
        {"limits": Limits(slow_ms=1)},
        {"strategy": "ab"},
        {"arms": (Arm("control", "3", 9_500), Arm("challenger", "9", 500))},
    ],
)
def test_what_is_fixed_stays(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidEventError, match="start"):
        check_successor(rollout(), start_of(rollout(revision=2, **changes)))


def test_one_active_rollout_splits_the_traffic_of_a_model() -> None:
    first, second = rollout(), rollout(rollout_id="r-2")
    check_only_active(second, {})
    check_only_active(second, {"r-1": replace(first, status="aborted")})
    check_only_active(replace(second, model_name="other"), {"r-1": first})
    with pytest.raises(InvalidEventError, match="'weir-fraud', whose traffic the rollout r-1"):
        check_only_active(second, {"r-1": replace(first, status="paused")})
    with pytest.raises(InvalidEventError, match="rollout_id is 'r-1', which exists"):
        check_only_active(first, {"r-1": replace(first, status="aborted")})
