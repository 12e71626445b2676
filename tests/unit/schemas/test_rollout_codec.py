"""Changes of rollouts come back as they were written, and broken ones are refused by name."""

import json
from dataclasses import replace
from typing import Any

import pytest

from schemas.errors import InvalidEventError
from schemas.rollout import LetThroughRule, Limits, LossWeights, Plan, RolloutChange, Strategy
from schemas.rollout_codec import (
    ROLLOUT_BYTES_MAX,
    decode_rollout_change,
    encode_rollout_change,
    read_record,
    rollout_from_object,
)
from tests.rollout_builders import rollout, start_of

STRATEGIES: tuple[Strategy, ...] = ("canary", "ab", "shadow", "blue_green", "bandit")
CHANGE = replace(start_of(rollout()), before=rollout().position())


def as_object(change: RolloutChange = CHANGE) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(encode_rollout_change(change))
    return parsed


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_change_of_each_strategy_comes_back_as_it_was(strategy: Strategy) -> None:
    change = start_of(rollout(strategy))
    assert decode_rollout_change(encode_rollout_change(change)) == change


def test_parameters_and_the_place_before_come_back() -> None:
    plan = Plan(alpha=0.01, stages_bp=(500, 10_000), planned_decisions=9)
    limits = Limits(error_share_max=0.5, score_cutoffs=(0.25,))
    change = replace(
        CHANGE,
        rollout=rollout(
            plan=plan,
            limits=limits,
            loss=LossWeights(review=0.5),
            let_through=LetThroughRule(share_bp=100, amount_minor_max=5_000),
        ),
    )
    assert decode_rollout_change(encode_rollout_change(change)) == change


def test_fields_with_a_default_may_be_absent_and_unknown_ones_are_ignored() -> None:
    obj = as_object()
    for name in ("plan", "limits", "loss", "let_through", "stage"):
        del obj["rollout"][name]
    obj["rollout"]["later"] = 1
    del obj["before"]
    assert decode_rollout_change(json.dumps(obj).encode()) == start_of(rollout())


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("rollout", "arms", 1, "share_bp"), 10_001, "rollout.arms[1].share_bp is 10001, limit"),
        (("rollout", "arms", 1, "share_bp"), 500.0, "rollout.arms[1].share_bp is 500.0, must be"),
        (("rollout", "arms", 1, "share_bp"), True, "rollout.arms[1].share_bp is true, must be an"),
        (("rollout", "arms"), {}, "rollout.arms is an object, must be a list"),
        (("rollout", "arms"), [{}] * 65, "rollout.arms has 65 items, limit 64"),
        (("rollout", "arms", 0), "control", "rollout.arms[0] is 'control', must be an object"),
        (("rollout", "strategy"), "abc", "rollout.strategy is 'abc', must be one of canary, ab"),
        (("rollout", "status"), ["running"], "rollout.status is a list, must be one of running"),
        (("rollout", "rollout_id"), "a/b", "rollout.rollout_id is 'a/b', must match"),
        (("rollout", "rollout_id"), "a" * 65, "rollout.rollout_id has 65 characters, limit 64"),
        (("rollout", "plan", "alpha"), 0, "rollout.plan.alpha is 0.0, limit 1e-06 or more"),
        (("rollout", "plan"), None, "rollout.plan is null, must be an object"),
        (("rollout", "limits", "score_cutoffs"), ["a"], "score_cutoffs[0] is 'a', must be a numb"),
        (("before", "shares_bp"), [], "before.shares_bp is a list, must be an object"),
        (("before", "shares_bp", "control"), -1, "before.shares_bp.control is -1, limit 0"),
        (("changed_by",), " ", "changed_by is ' ', must match"),
    ],
)
def test_a_broken_field_is_refused_with_its_path(
    path: tuple[str | int, ...], value: object, said: str
) -> None:
    obj = as_object()
    inner: Any = obj
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(InvalidEventError) as refused:
        decode_rollout_change(json.dumps(obj).encode())
    assert said in str(refused.value)


def test_a_missing_field_is_named() -> None:
    obj = as_object()
    del obj["rollout"]["arms"][0]["version"]
    with pytest.raises(InvalidEventError, match=r"rollout\.arms\[0\]\.version is missing"):
        decode_rollout_change(json.dumps(obj).encode())


@pytest.mark.parametrize(
    "value", [None, b"", b"[]", b'{"a": NaN}', b"\xff", b" " * (ROLLOUT_BYTES_MAX + 1)]
)
def test_what_is_no_change_is_refused(value: bytes | None) -> None:
    with pytest.raises(InvalidEventError):
        decode_rollout_change(value)


def test_fields_that_do_not_agree_are_refused_when_read() -> None:
    obj = as_object()
    obj["rollout"]["arms"][1]["share_bp"] = 501
    with pytest.raises(InvalidEventError, match="add up to 10001"):
        decode_rollout_change(json.dumps(obj).encode())
    with pytest.raises(InvalidEventError, match="add up to 10001"):
        rollout_from_object(obj["rollout"])


def test_a_part_is_read_alone() -> None:
    assert read_record(Plan, {"effect": 1}) == Plan(effect=1.0)
    with pytest.raises(InvalidEventError, match=r"effect is 2\.0, limit 1 or less"):
        read_record(Plan, {"effect": 2})


def test_the_key_of_a_change_names_rollout_and_change() -> None:
    assert CHANGE.key == b"r-1/c-1"
