"""Every answer says why a rollout stands where it stands, and what happens next."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.rollout import Strategy
from scoring.core.rollout_changes import (
    aborted,
    asked_to_promote,
    asked_to_roll_back,
    completed,
    paused,
    switched,
)
from scoring.core.rollout_report import report, what_next
from tests.rollout_steps import author, rollout, start, step

BOTH = {"control": 2_500, "challenger": 7_500}


def test_a_report_has_the_shares_the_reason_and_the_changes() -> None:
    first = start(strategy="canary")
    rests = paused(first.rollout, author(name="ben", reason="labels are late"))
    found = report([first, rests])
    assert found.why == "labels are late. Said by ben."
    assert [(arm.name, arm.version, arm.share) for arm in found.arms] == [
        ("control", "1", 0.95),
        ("challenger", "2", 0.05),
    ]
    assert (found.status, found.revision) == ("paused", 2)
    assert [change.to for change in found.changes] == [
        "running, stage 1 of 6: control 95 %, challenger 5 %",
        "paused, stage 1 of 6: control 95 %, challenger 5 %",
    ]


@pytest.mark.parametrize(
    ("strategy", "says"),
    [
        ("canary", "The next stage gives the challenger 15 %: not before 2026-11-24 01:00 UTC"),
        ("ab", "labels count once they are 30 days old"),
        ("shadow", "The challenger decides nothing"),
        ("blue_green", "Version 2 (green) is loaded and gets no traffic"),
        ("bandit", "at most every 60 minutes, and leaves each arm at least 5 %"),
    ],
)
def test_each_strategy_says_what_is_next(strategy: Strategy, says: str) -> None:
    assert says in what_next(rollout(strategy=strategy))


@pytest.mark.parametrize(
    ("at", "says"),
    [
        (lambda: paused(rollout(), author()), "until `weir rollout resume r-1`"),
        (lambda: aborted(rollout(), author()), "version 1 decides alone"),
        (
            lambda: completed(rollout(), author(), winner="challenger"),
            "version 2 (challenger) won and is the champion",
        ),
        (
            lambda: asked_to_roll_back(
                completed(rollout(), author(), winner="challenger").rollout, author()
            ),
            "The controller makes the champion before it decide again",
        ),
        (
            lambda: asked_to_promote(rollout(), author()),
            "makes version 2 (challenger) the champion if parity is 0",
        ),
        (
            lambda: switched(rollout(strategy="blue_green"), author()),
            "Version 1 (blue, the control) is loaded",
        ),
        (
            lambda: step(rollout(strategy="canary"), stage=4, shares_bp=BOTH),
            "Above 50 %, 1000 decisions of each arm must have mature labels",
        ),
        (
            lambda: step(
                rollout(strategy="canary"),
                stage=5,
                shares_bp={"control": 0, "challenger": 10_000},
            ),
            "It is at its last stage. Version 2 becomes the champion not before",
        ),
    ],
)
def test_each_place_says_what_is_next(at: Any, says: str) -> None:
    assert says in what_next(at().rollout)
