"""Where a rollout stands, why, and what happens next, in sentences a product manager understands.

Pure. The commands print it and the API answers with it. What the controller has measured is not
here: `operations.rollouts` adds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.rollout import SHARES_BP, Rollout, RolloutChange


@dataclass(frozen=True, slots=True)
class ReportedArm:
    """One arm in a report.

    Attributes:
        name: of the arm.
        version: of the model.
        share: of the traffic, 0 to 1.
    """

    name: str
    version: str
    share: float


@dataclass(frozen=True, slots=True)
class ReportedChange:
    """One change in a report.

    Attributes:
        revision: its number.
        at_ms: when, ms since 1970 UTC.
        by: who.
        reason: why, a sentence.
        to: where the rollout stood after it.
    """

    revision: int
    at_ms: int
    by: str
    reason: str
    to: str


@dataclass(frozen=True, slots=True)
class RolloutReport:
    """Where a rollout stands.

    Attributes:
        rollout_id: its id.
        model_name: the registered model.
        strategy: how the challenger is let in.
        status: whether it runs, rests or has ended.
        revision: number of the newest change.
        arms: the versions and their shares.
        since_ms: when it came to stand there, ms since 1970 UTC.
        why: why it stands there, and who says so.
        next: what happens next.
        changes: all changes, oldest first, as far as they are known.
    """

    rollout_id: str
    model_name: str
    strategy: str
    status: str
    revision: int
    arms: tuple[ReportedArm, ...]
    since_ms: int
    why: str
    next: str
    changes: tuple[ReportedChange, ...]


def report(changes: list[RolloutChange]) -> RolloutReport:
    """Describe a rollout by its changes, oldest first; the newest alone is enough."""
    newest = changes[-1]
    rollout = newest.rollout
    return RolloutReport(
        rollout_id=rollout.rollout_id,
        model_name=rollout.model_name,
        strategy=rollout.strategy,
        status=rollout.status,
        revision=rollout.revision,
        arms=tuple(
            ReportedArm(arm.name, arm.version, arm.share_bp / SHARES_BP) for arm in rollout.arms
        ),
        since_ms=newest.changed_at_ms,
        why=f"{_sentence(newest.reason)} Said by {newest.changed_by}.",
        next=what_next(rollout),
        changes=tuple(
            ReportedChange(
                one.rollout.revision,
                one.changed_at_ms,
                one.changed_by,
                one.reason,
                described(one.rollout),
            )
            for one in changes
        ),
    )


def described(rollout: Rollout) -> str:
    """Give status, stage and shares in one line.

    Examples:
        >>> from schemas.rollout import Arm
        >>> arms = (Arm("control", "1", 9_500), Arm("challenger", "2", 500))
        >>> described(Rollout("r", 1, "m", "canary", "running", arms, "s", 0, 0))
        'running, stage 1 of 6: control 95 %, challenger 5 %'
    """
    shares = ", ".join(f"{arm.name} {_percent(arm.share_bp)}" for arm in rollout.arms)
    if rollout.strategy != "canary":
        return f"{rollout.status}: {shares}"
    return f"{rollout.status}, stage {rollout.stage + 1} of {len(rollout.plan.stages_bp)}: {shares}"


def what_next(rollout: Rollout) -> str:
    """Say what happens next, and on what condition."""
    name = rollout.rollout_id
    if rollout.takes_back:
        return "The controller makes the champion before it decide again, or says why it cannot."
    if rollout.status == "completed":
        winner = max(rollout.arms, key=lambda arm: arm.share_bp)
        return (
            f"It has ended: version {winner.version} ({winner.name}) won and is the champion. "
            f"`weir rollout rollback {name}` makes the champion before it decide again."
        )
    if not rollout.is_active:
        return (
            f"It has ended: version {rollout.control.version} decides alone, or the champion "
            "since. `weir rollout start` starts another one."
        )
    if rollout.promotes is not None:
        arm = next(arm for arm in rollout.arms if arm.name == rollout.promotes)
        return (
            f"The controller asks the parity gate, and makes version {arm.version} ({arm.name}) "
            "the champion if parity is 0."
        )
    if rollout.status == "paused":
        return (
            "The shares stay, and the controller takes no step until "
            f"`weir rollout resume {name}`; `weir rollout abort {name}` ends it."
        )
    return {
        "canary": _next_of_canary,
        "ab": _next_of_ab,
        "shadow": _next_of_shadow,
        "blue_green": _next_of_blue_green,
        "bandit": _next_of_bandit,
    }[rollout.strategy](rollout)


def _next_of_canary(rollout: Rollout) -> str:
    stages, plan = rollout.plan.stages_bp, rollout.plan
    moment = _moment(rollout.stage_since_ms + plan.stage_ms_min)
    condition = (
        f"not before {moment} and {plan.stage_decisions_min} decisions of the challenger at this "
        "stage, and only while no guard objects"
    )
    if rollout.stage + 1 == len(stages):
        return (
            f"It is at its last stage. Version {rollout.challengers[0].version} becomes the "
            f"champion {condition} and parity is 0."
        )
    following_bp = stages[rollout.stage + 1]
    text = f"The next stage gives the challenger {_percent(following_bp)}: {condition}."
    if following_bp > plan.unlabelled_share_bp_max and plan.matured_decisions_min:
        text += (
            f" Above {_percent(plan.unlabelled_share_bp_max)}, {plan.matured_decisions_min} "
            "decisions of each arm must have mature labels."
        )
    return text + " A guard that objects rolls it back at once."


def _next_of_ab(rollout: Rollout) -> str:
    return (
        f"It goes on until `weir rollout promote {rollout.rollout_id}` or "
        f"`weir rollout abort {rollout.rollout_id}`; labels count once they are "
        f"{rollout.plan.label_maturity_ms / 86_400_000:g} days old."
    )


def _next_of_shadow(rollout: Rollout) -> str:
    return (
        "The challenger decides nothing; what it would decide is in the topic shadow-decisions. It "
        f"goes on until `weir rollout promote {rollout.rollout_id}` or "
        f"`weir rollout abort {rollout.rollout_id}`."
    )


def _next_of_blue_green(rollout: Rollout) -> str:
    idle = next(arm for arm in rollout.arms if arm.share_bp == 0)
    return (
        f"Version {idle.version} ({'blue, the control' if idle.name == 'control' else idle.name}) "
        f"is loaded and gets no traffic; `weir rollout switch {rollout.rollout_id}` moves all "
        "traffic to it, and the same command moves it back."
    )


def _next_of_bandit(rollout: Rollout) -> str:
    plan = rollout.plan
    return (
        "The controller moves the shares towards the better arm, at most every "
        f"{plan.reallocation_ms_min / 60_000:g} minutes, and leaves each arm at least "
        f"{_percent(plan.exploration_bp_min)}."
    )


def _percent(share_bp: int) -> str:
    return f"{share_bp / 100:g} %"


def _moment(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1_000, UTC):%Y-%m-%d %H:%M} UTC"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
