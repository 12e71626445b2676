"""What the fields of a rollout must agree on, and which change may follow which.

Pure. The codec, the writers of changes and the followers call it, so that a state that makes no
sense is neither written nor followed. Every refusal is an ``InvalidEventError`` that says what to
do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

from schemas.errors import shown
from schemas.field_readers import refuse
from schemas.rollout import CONTROL, SHARES_BP, Rollout, RolloutChange, Strategy

ARMS_MAX = 8
"""Most arms of a bandit; the other strategies have two."""

FIXED_FIELDS = (
    "rollout_id",
    "model_name",
    "strategy",
    "salt",
    "started_at_ms",
    "plan",
    "limits",
    "loss",
    "let_through",
)
"""Fields that no change may change; nor may it change the names and versions of the arms."""


def check_rollout(rollout: Rollout) -> None:
    """Refuse a rollout whose fields do not agree.

    Raises:
        InvalidEventError: names the field, the value, the limit and what to do.
    """
    _check_arms(rollout)
    _check_limits(rollout)
    _STRATEGY_CHECKS[rollout.strategy](rollout)


def check_successor(present: Rollout | None, change: RolloutChange) -> None:
    """Refuse a change that may not follow the present state; the first of a revision counts.

    Args:
        present: the state that is known, None if the rollout is new.
        change: the next record of the rollout.

    Raises:
        InvalidEventError: its revision is not the next, the rollout has ended, or the change
            changes what is fixed.
    """
    after = change.rollout
    revision = 1 if present is None else present.revision + 1
    if after.revision != revision:
        refuse(
            "revision",
            f"is {after.revision}, must be {revision}: another change came first; "
            "read the rollout again and repeat the change if it is still wanted",
        )
    if present is None:
        return
    if not present.is_active and not _takes_back(present, after):
        refuse("status", f"is {present.status}: the rollout has ended; start a new one")
    for name in FIXED_FIELDS:
        if getattr(after, name) != getattr(present, name):
            refuse(name, "differs from the start of the rollout; start a new one to change it")
    if [(arm.name, arm.version) for arm in after.arms] != [
        (arm.name, arm.version) for arm in present.arms
    ]:
        refuse("arms", "name other versions than at the start; start a new rollout for those")


def _takes_back(present: Rollout, after: Rollout) -> bool:
    """Say whether a change of an ended rollout takes back its winner, asks for that or refuses it.

    Nothing else may follow an end.
    """
    if present.winner is None:
        return False
    if after.status == "rolled_back":
        return after.control.share_bp == SHARES_BP
    is_same = (after.status, after.arms) == (present.status, present.arms)
    return is_same and after.takes_back != present.takes_back


def check_only_active(rollout: Rollout, others: Mapping[str, Rollout]) -> None:
    """Refuse to start a rollout while another one splits the same traffic.

    Args:
        rollout: the one to start.
        others: the present states of all rollouts, by id.

    Raises:
        InvalidEventError: its id is taken, or its model has an active rollout.
    """
    if rollout.rollout_id in others:
        refuse("rollout_id", f"is {shown(rollout.rollout_id)}, which exists; choose another id")
    for other in others.values():
        if other.is_active and other.model_name == rollout.model_name:
            refuse(
                "model_name",
                f"is {shown(rollout.model_name)}, whose traffic the rollout "
                f"{other.rollout_id} splits ({other.status}); promote or abort that one first",
            )


def _check_arms(rollout: Rollout) -> None:
    names = [arm.name for arm in rollout.arms]
    arms_max = ARMS_MAX if rollout.strategy == "bandit" else 2
    if not 2 <= len(names) <= arms_max:
        refuse("arms", f"has {len(names)} arms, a {rollout.strategy} has 2 to {arms_max}")
    if len(set(names)) < len(names):
        refuse("arms", f"names an arm twice: {', '.join(names)}; give each arm its own name")
    if CONTROL not in names:
        refuse("arms", f"has no arm named {CONTROL}: {', '.join(names)}; name the champion's so")
    total_bp = sum(arm.share_bp for arm in rollout.arms)
    if total_bp != SHARES_BP:
        described = ", ".join(f"{arm.name}={arm.share_bp}" for arm in rollout.arms)
        refuse("arms", f"has shares that add up to {total_bp}, limit {SHARES_BP}: {described}")
    if rollout.promotes is not None and rollout.promotes not in names:
        refuse("promotes", f"is {shown(rollout.promotes)}, must be one of {', '.join(names)}")
    if rollout.takes_back and rollout.winner is None:
        refuse("takes_back", "is true, and no challenger has won: there is nothing to take back")
    if "\0" in rollout.salt:
        refuse("salt", "has the character NUL")


def _check_limits(rollout: Rollout) -> None:
    cutoffs = rollout.limits.score_cutoffs
    if any(low >= high for low, high in pairwise(cutoffs)):
        refuse("limits.score_cutoffs", f"is {list(cutoffs)}, must rise")
    if rollout.stage_since_ms < rollout.started_at_ms:
        refuse(
            "stage_since_ms",
            f"is {rollout.stage_since_ms}, before started_at_ms={rollout.started_at_ms}",
        )


def _check_canary(rollout: Rollout) -> None:
    stages = rollout.plan.stages_bp
    if not stages or stages[-1] != SHARES_BP or stages[0] == 0:
        refuse(
            "plan.stages_bp", f"is {list(stages)}, must rise from above 0 and end with {SHARES_BP}"
        )
    if any(low >= high for low, high in pairwise(stages)):
        refuse("plan.stages_bp", f"is {list(stages)}, must rise")
    if rollout.stage >= len(stages):
        refuse("stage", f"is {rollout.stage}, limit {len(stages) - 1}: there is no such stage")
    share_bp = rollout.challengers[0].share_bp
    if rollout.is_active and share_bp not in (0, stages[rollout.stage]):
        refuse(
            "arms",
            f"gives the challenger {share_bp}, must be {stages[rollout.stage]}, the share of "
            f"stage {rollout.stage} (or 0 while it is paused)",
        )


def _check_ab(rollout: Rollout) -> None:
    _check_no_stage(rollout)
    if rollout.status == "running" and min(arm.share_bp for arm in rollout.arms) == 0:
        refuse("arms", "has an arm without traffic: there is nothing to compare")


def _check_shadow(rollout: Rollout) -> None:
    _check_no_stage(rollout)
    if rollout.is_active and rollout.control.share_bp != SHARES_BP:
        refuse(
            "arms",
            f"gives the control {rollout.control.share_bp}, must be {SHARES_BP}: in a shadow "
            "rollout the challenger decides nothing",
        )


def _check_blue_green(rollout: Rollout) -> None:
    _check_no_stage(rollout)
    shares = [arm.share_bp for arm in rollout.arms]
    if max(shares) != SHARES_BP:
        refuse("arms", f"has the shares {shares}, one arm must have all: {SHARES_BP}")


def _check_bandit(rollout: Rollout) -> None:
    _check_no_stage(rollout)
    floor_bp = rollout.plan.exploration_bp_min
    if floor_bp * len(rollout.arms) > SHARES_BP or floor_bp == 0:
        refuse(
            "plan.exploration_bp_min",
            f"is {floor_bp}, limit 1 to {SHARES_BP // len(rollout.arms)} for "
            f"{len(rollout.arms)} arms",
        )
    smallest_bp = min(arm.share_bp for arm in rollout.arms)
    if rollout.status == "running" and smallest_bp < floor_bp:
        refuse("arms", f"has a share of {smallest_bp}, limit plan.exploration_bp_min={floor_bp}")


def _check_no_stage(rollout: Rollout) -> None:
    if rollout.stage != 0:
        refuse("stage", f"is {rollout.stage}, must be 0: only a canary has stages")


_STRATEGY_CHECKS: Mapping[Strategy, Callable[[Rollout], None]] = {
    "canary": _check_canary,
    "ab": _check_ab,
    "shadow": _check_shadow,
    "blue_green": _check_blue_green,
    "bandit": _check_bandit,
}
