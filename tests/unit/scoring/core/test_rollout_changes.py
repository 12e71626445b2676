"""What people may change of a rollout, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.errors import InvalidEventError
from schemas.rollout import Plan, Rollout, Strategy
from schemas.rollout_rules import check_successor
from scoring.core.rollout_changes import (
    aborted,
    asked_to_promote,
    asked_to_roll_back,
    changed,
    completed,
    not_taken_back,
    paused,
    resumed,
    rolled_back,
    switched,
    taken_back,
    winner_of,
)
from tests.rollout_steps import NOW_MS, author, rollout, start, step


def shares(of: Rollout) -> dict[str, int]:
    return of.position().shares_bp


def won() -> Rollout:
    return completed(rollout(), author(), winner="challenger").rollout


@pytest.mark.parametrize(
    ("strategy", "more", "wanted"),
    [
        ("canary", {}, {"control": 9_500, "challenger": 500}),
        ("ab", {}, {"control": 5_000, "challenger": 5_000}),
        ("ab", {"challenger_share_bp": 100}, {"control": 9_900, "challenger": 100}),
        ("shadow", {}, {"control": 10_000, "challenger": 0}),
        ("blue_green", {}, {"control": 10_000, "green": 0}),
        (
            "bandit",
            {"challengers": {"a": "2", "b": "3"}},
            {"control": 3_334, "a": 3_333, "b": 3_333},
        ),
    ],
)
def test_each_strategy_starts_with_its_shares(
    strategy: Strategy, more: dict[str, Any], wanted: dict[str, int]
) -> None:
    first = start(strategy=strategy, **more)
    assert shares(first.rollout) == wanted
    assert first.rollout.revision == 1
    assert first.rollout.status == "running"
    assert first.before is None
    check_successor(None, first)


def test_two_rollouts_have_two_salts() -> None:
    assert rollout().salt != rollout().salt


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"challengers": {"challenger": "1"}}, "version 1, which is the champion"),
        ({"challenger_share_bp": 10_000}, "an arm without traffic"),
        ({"challenger_share_bp": 10_001}, "share_bp is -1, limit 0 or more"),
        ({"rollout_id": "No/Slash"}, "rollout_id is 'No/Slash', must match"),
        ({"challengers": {"control": "2"}}, "names an arm twice"),
        ({"challengers": {"a": "2", "b": "3"}}, "has 3 arms, a ab has 2 to 2"),
        ({"strategy": "canary", "plan": Plan(stages_bp=())}, "must rise from above 0"),
        ({"strategy": "canary", "plan": Plan(stages_bp=(500, 100, 10_000))}, "must rise"),
        (
            {"strategy": "bandit", "plan": Plan(exploration_bp_min=6_000)},
            r"exploration_bp_min is 6000, limit 1 to 5000",
        ),
    ],
)
def test_a_start_that_makes_no_sense_is_refused(more: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidEventError, match=told):
        start(**more)


def test_a_pause_keeps_the_shares_and_a_resume_goes_on() -> None:
    first = start(strategy="canary")
    rests = paused(first.rollout, author(reason="labels are late", now_ms=NOW_MS + 5))
    assert shares(rests.rollout) == shares(first.rollout)
    assert rests.rollout.stage_since_ms == NOW_MS
    assert (rests.changed_by, rests.reason) == ("ana", "labels are late")
    assert rests.before == first.rollout.position()
    again = resumed(rests.rollout, author())
    assert (again.rollout.status, again.rollout.revision) == ("running", 3)
    for present, change in ((first.rollout, rests), (rests.rollout, again)):
        check_successor(present, change)


def test_the_time_of_a_stage_begins_with_its_change() -> None:
    first = rollout(strategy="canary")
    after = changed(
        first,
        author(now_ms=NOW_MS + 7),
        stage=1,
        shares_bp={"control": 8_500, "challenger": 1_500},
    )
    assert (after.rollout.stage, after.rollout.stage_since_ms) == (1, NOW_MS + 7)


@pytest.mark.parametrize(
    ("end", "status", "decides"),
    [
        (aborted, "aborted", "control"),
        (rolled_back, "rolled_back", "control"),
        (lambda at, by: completed(at, by, winner="challenger"), "completed", "challenger"),
    ],
)
@pytest.mark.parametrize("strategy", ["canary", "ab", "shadow"])
def test_an_end_gives_all_traffic_to_one_arm(
    strategy: Strategy, end: Any, status: str, decides: str
) -> None:
    present = rollout(strategy=strategy)
    change = end(present, author())
    assert change.rollout.status == status
    assert shares(change.rollout)[decides] == 10_000
    check_successor(present, change)
    with pytest.raises(InvalidEventError, match=f"status is {status}: r-1 has ended"):
        step(change.rollout, status="running")


def test_blue_green_switches_and_switches_back() -> None:
    blue = rollout(strategy="blue_green")
    green = switched(blue, author())
    assert shares(green.rollout) == {"control": 0, "green": 10_000}
    assert shares(switched(green.rollout, author()).rollout) == shares(blue)
    assert shares(switched(green.rollout, author(), to="blue").rollout) == shares(blue)
    assert switched(blue, author(), to="green").rollout.position() == green.rollout.position()


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda: resumed(rollout(), author()), "status is running: only a paused"),
        (
            lambda: paused(paused(rollout(), author()).rollout, author()),
            "status is paused: only a running",
        ),
        (lambda: switched(rollout(), author()), "strategy is ab; only a blue_green"),
        (
            lambda: switched(rollout(strategy="blue_green"), author(), to="blue"),
            "to is 'blue', which decides already",
        ),
        (
            lambda: switched(rollout(strategy="blue_green"), author(), to="red"),
            "to is 'red', which decides already or is no arm",
        ),
        (lambda: step(rollout(), shares_bp={"control": 10_000}), "shares name control, must name"),
        (
            lambda: step(rollout(), shares_bp={"control": 9_000, "challenger": 999}),
            "add up to 9999, limit 10000",
        ),
        (lambda: winner_of(rollout(), "green"), "arm is 'green', must be one of"),
        (
            lambda: winner_of(rollout(strategy="bandit", challengers={"a": "2", "b": "3"}), None),
            "arm is not named, and there are several",
        ),
        (
            lambda: rolled_back(
                completed(rollout(), author(), winner="challenger").rollout, author()
            ),
            "made version 2 the champion; `weir rollout rollback r-1` makes the champion before",
        ),
        (
            lambda: rolled_back(completed(rollout(), author(), winner="control").rollout, author()),
            "r-1 has ended; start a new one",
        ),
        (lambda: taken_back(rollout(), author()), "status is running: r-1"),
        (
            lambda: asked_to_roll_back(aborted(rollout(), author()).rollout, author()),
            "status is aborted: r-1 has ended and no new version of it is the champion",
        ),
        (
            lambda: asked_to_roll_back(asked_to_roll_back(won(), author()).rollout, author()),
            "takes_back is true already",
        ),
        (
            lambda: winner_of(aborted(rollout(), author()).rollout, None),
            "status is aborted: r-1 has ended",
        ),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(act: Any, told: str) -> None:
    with pytest.raises(InvalidEventError, match=told):
        act()


def test_the_winner_is_the_challenger_unless_another_arm_is_named() -> None:
    assert winner_of(rollout(), None).version == "2"
    assert winner_of(rollout(), "control").version == "1"


def test_a_promotion_that_was_asked_for_is_answered_or_withdrawn_by_the_next_change() -> None:
    asked = asked_to_promote(rollout(), author())
    assert asked.rollout.promotes == "challenger"
    assert shares(asked.rollout) == shares(rollout())
    assert paused(asked.rollout, author()).rollout.promotes is None


def test_a_winner_is_taken_back_by_whoever_has_moved_the_champion_or_asks_for_that() -> None:
    asked = asked_to_roll_back(won(), author())
    assert (asked.rollout.status, asked.rollout.takes_back) == ("completed", True)
    for present in (won(), asked.rollout):
        change = taken_back(present, author())
        check_successor(present, change)
        assert change.rollout.status == "rolled_back"
        assert shares(change.rollout)["control"] == 10_000
    refused = not_taken_back(asked.rollout, author())
    check_successor(asked.rollout, refused)
    assert asked_to_roll_back(refused.rollout, author()).rollout.takes_back


def test_an_active_rollout_is_rolled_back_at_once_by_who_asks() -> None:
    assert asked_to_roll_back(rollout(), author()).rollout.status == "rolled_back"
