"""What people ask to start: read alike from the command and over HTTP, and refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.errors import InvalidEventError
from schemas.rollout import Limits, Plan
from scoring.core.rollout_changes import started
from scoring.core.rollout_request import read_start
from tests.rollout_steps import author

CANARY: dict[str, Any] = {"rollout_id": "r-1", "strategy": "canary", "challenger": "7"}


def test_what_is_not_given_is_the_default() -> None:
    asked = read_start(CANARY)
    assert asked.challengers == {"challenger": "7"}
    assert (asked.plan, asked.limits) == (Plan(), Limits())
    change = started(asked, author(), model_name="weir-fraud", control="6")
    assert change.rollout.control.version == "6"


def test_each_part_may_be_given() -> None:
    asked = read_start(
        CANARY
        | {
            "plan": {"stages_bp": [1_000, 10_000], "stage_ms_min": 5},
            "limits": {"slow_ms": 20},
            "loss": {"review": 0.1},
            "let_through": {"share_bp": 100, "amount_minor_max": 5_000},
        }
    )
    assert asked.plan.stages_bp == (1_000, 10_000)
    assert asked.limits.slow_ms == 20
    assert asked.loss.review == 0.1
    assert asked.let_through.share_bp == 100


def test_a_bandit_names_its_arms_and_the_other_arm_of_blue_is_green() -> None:
    several = {"rollout_id": "r", "strategy": "bandit", "challengers": {"a": "7", "b": "8"}}
    assert read_start(several).challengers == {"a": "7", "b": "8"}
    assert read_start(CANARY | {"strategy": "blue_green"}).challengers == {"green": "7"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"strategy": "canaries"}, "strategy is 'canaries', must be one of canary, ab"),
        ({"strategy": None}, "strategy is null"),
        ({"stages_bp": [1]}, "stages_bp is not known; known are rollout_id"),
        ({"plan": {"stage_bp": [1]}}, "plan.stage_bp is not known; known are alpha"),
        ({"plan": {"alpha": 0.9}}, "alpha is 0.9, limit 0.5 or less"),
        ({"plan": []}, "plan is a list, must be an object"),
        ({"challenger": 7}, "challenger is 7, must be text"),
        ({"challengers": {"a": "8"}}, "challenger or challengers must be given, and only one"),
        ({"challenger_share_bp": 0.5}, "challenger_share_bp is 0.5, must be an integer"),
        ({"rollout_id": ""}, "rollout_id"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidEventError) as refused:
        read_start(CANARY | changes)
    assert told in str(refused.value)
