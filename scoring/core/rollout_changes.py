"""The changes that people make to rollouts: start, pause, resume, switch, end.

Pure: the present state, the time and who asks are arguments, the next change comes back, or a
refusal that says what to do. `scoring.stores.rollout_log` writes changes; the commands, the API and
the controller call this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from schemas.errors import shown
from schemas.field_readers import refuse
from schemas.rollout import (
    CONTROL,
    SHARES_BP,
    Arm,
    LetThroughRule,
    Limits,
    LossWeights,
    Plan,
    Position,
    Rollout,
    RolloutChange,
    Status,
    Strategy,
)
from schemas.rollout_codec import decode_rollout_change, encode_rollout_change

CHALLENGER: Final = "challenger"
"""Name of the other arm, where the strategy has two."""
GREEN: Final = "green"
"""Name of the other arm of blue/green; the control is blue."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes a change, when and why.

    Attributes:
        name: a person, or `schemas.rollout.CONTROLLER`.
        reason: a sentence.
        now_ms: the clock, ms since 1970 UTC.
        change_id: of the change; no other change has it.
    """

    name: str
    reason: str
    now_ms: int
    change_id: str


@dataclass(frozen=True, slots=True)
class Start:
    """What a person asks to start, not yet compared with the registry.

    Attributes:
        rollout_id: its id.
        strategy: how the challenger is let in.
        challengers: version of each arm beside the control, by its name; one, but for a bandit.
        challenger_share_bp: of an A/B test, in hundredths of a percent.
        plan: the parameters of the strategy.
        limits: of the guards.
        loss: what a wrong decision costs.
        let_through: approval of a few would-be blocks.
    """

    rollout_id: str
    strategy: Strategy
    challengers: Mapping[str, str]
    challenger_share_bp: int = SHARES_BP // 2
    plan: Plan = field(default_factory=Plan)
    limits: Limits = field(default_factory=Limits)
    loss: LossWeights = field(default_factory=LossWeights)
    let_through: LetThroughRule = field(default_factory=LetThroughRule)


def started(asked: Start, author: Author, *, model_name: str, control: str) -> RolloutChange:
    """Give the first change of a rollout.

    The salt is the id of the change, so that no two rollouts assign alike.

    Args:
        asked: what is asked for.
        author: who, when and why.
        model_name: the registered model.
        control: version of its champion.

    Raises:
        InvalidEventError: what is asked for makes no sense; it says why.
    """
    for name, version in asked.challengers.items():
        if version == control:
            refuse(
                "arms", f"gives {name} version {version}, which is the champion: nothing to compare"
            )
    shares_bp = _first_shares_bp(asked)
    rollout = Rollout(
        rollout_id=asked.rollout_id,
        revision=1,
        model_name=model_name,
        strategy=asked.strategy,
        status="running",
        arms=(
            Arm(CONTROL, control, SHARES_BP - sum(shares_bp.values())),
            *(Arm(name, version, shares_bp[name]) for name, version in asked.challengers.items()),
        ),
        salt=author.change_id,
        started_at_ms=author.now_ms,
        stage_since_ms=author.now_ms,
        plan=asked.plan,
        limits=asked.limits,
        loss=asked.loss,
        let_through=asked.let_through,
    )
    return _signed(rollout, author, before=None)


def changed(
    present: Rollout,
    author: Author,
    *,
    status: Status | None = None,
    shares_bp: Mapping[str, int] | None = None,
    stage: int | None = None,
    promotes: str | None = None,
) -> RolloutChange:
    """Give the next change of a rollout; what is not named stays.

    Args:
        present: where it stands.
        author: who, when and why.
        status: the new one.
        shares_bp: the new share of every arm, in hundredths of a percent.
        stage: the index of the new stage, of a canary.
        promotes: the arm that a person asked to promote; any change that does not name it answers
            or withdraws that.

    Raises:
        InvalidEventError: the result makes no sense, or the rollout has ended.
    """
    if not present.is_active:
        refuse("status", f"is {present.status}: {present.rollout_id} has ended; start a new one")
    moves = shares_bp is not None or stage is not None
    after = replace(
        present,
        status=status or present.status,
        arms=_with_shares(present, shares_bp),
        stage=present.stage if stage is None else stage,
        promotes=promotes,
        stage_since_ms=author.now_ms if moves else present.stage_since_ms,
    )
    return _following(present, after, author)


def paused(present: Rollout, author: Author) -> RolloutChange:
    """Give the change that lets a rollout rest: the shares stay, the controller takes no step."""
    _check_status(present, "running", "only a running rollout can be paused")
    return changed(present, author, status="paused")


def resumed(present: Rollout, author: Author) -> RolloutChange:
    """Give the change that lets a paused rollout go on."""
    _check_status(present, "paused", "only a paused rollout can be resumed")
    return changed(present, author, status="running")


def aborted(present: Rollout, author: Author) -> RolloutChange:
    """Give the change that ends a rollout without a verdict; the champion decides alone."""
    return changed(present, author, status="aborted", shares_bp=all_to(present, CONTROL))


def rolled_back(present: Rollout, author: Author) -> RolloutChange:
    """Give the change that ends a rollout because the challenger is bad.

    Raises:
        InvalidEventError: it has ended. If a challenger has won, its version is the champion, and
            returning to another one needs the registry: the command in the message does that.
    """
    if present.winner is not None:
        refuse(
            "status",
            f"is completed: {present.rollout_id} has ended and made version "
            f"{present.winner.version} the champion; `weir rollout rollback {present.rollout_id}` "
            "makes the champion before it decide again",
        )
    return changed(present, author, status="rolled_back", shares_bp=all_to(present, CONTROL))


def taken_back(present: Rollout, author: Author) -> RolloutChange:
    """Give the change that says of a completed rollout that its winner is the champion no more.

    The caller has made the champion before it decide again.

    Raises:
        InvalidEventError: no challenger has won.
    """
    check_won(present)
    after = replace(
        present,
        status="rolled_back",
        takes_back=False,
        arms=_with_shares(present, all_to(present, CONTROL)),
        stage_since_ms=author.now_ms,
    )
    return _following(present, after, author)


def asked_to_roll_back(present: Rollout, author: Author) -> RolloutChange:
    """Give the change that takes a challenger back; once it has won, one that asks the controller.

    Raises:
        InvalidEventError: it has ended and no challenger has won, or the controller is asked
            already.
    """
    if present.is_active:
        return rolled_back(present, author)
    check_won(present)
    if present.takes_back:
        refuse("takes_back", "is true already: the controller is asked, and will answer")
    return _following(present, replace(present, takes_back=True), author)


def not_taken_back(present: Rollout, author: Author) -> RolloutChange:
    """Give the change that refuses what `asked_to_roll_back` asked for."""
    return _following(present, replace(present, takes_back=False), author)


def check_won(present: Rollout) -> None:
    """Refuse a rollout that has ended without making a new version the champion."""
    if present.winner is None:
        refuse(
            "status",
            f"is {present.status}: {present.rollout_id} has ended and no new version of it is the "
            "champion, so there is nothing to roll back",
        )


def completed(present: Rollout, author: Author, *, winner: str) -> RolloutChange:
    """Give the change that ends a rollout with a winner, after its version became the champion."""
    return changed(present, author, status="completed", shares_bp=all_to(present, winner))


def switched(present: Rollout, author: Author, *, to: str | None = None) -> RolloutChange:
    """Give the change that moves all traffic of a blue/green rollout to the other arm.

    Args:
        present: where it stands.
        author: who, when and why.
        to: name of an arm, or of the blue one `blue`; None for the one without traffic.
    """
    if present.strategy != "blue_green":
        refuse("strategy", f"is {present.strategy}; only a blue_green rollout can be switched")
    idle = next(arm.name for arm in present.arms if arm.share_bp == 0)
    name = idle if to is None else CONTROL if to == "blue" else to
    if name != idle:
        refuse("to", f"is {shown(to)}, which decides already or is no arm of the rollout")
    return changed(present, author, shares_bp=all_to(present, name))


def asked_to_promote(present: Rollout, author: Author, *, name: str | None = None) -> RolloutChange:
    """Give the change that asks the controller to make the version of an arm the champion."""
    return changed(present, author, promotes=winner_of(present, name).name)


def winner_of(present: Rollout, name: str | None) -> Arm:
    """Give the arm whose version is to become the champion.

    Args:
        present: where the rollout stands.
        name: of the arm; None for the only challenger.

    Raises:
        InvalidEventError: there is no such arm, or several challengers and no name.
    """
    if not present.is_active:
        refuse("status", f"is {present.status}: {present.rollout_id} has ended; start a new one")
    names = [arm.name for arm in present.arms]
    if name is None and len(present.challengers) > 1:
        refuse("arm", f"is not named, and there are several: {', '.join(names)}")
    wanted = present.challengers[0].name if name is None else name
    if wanted not in names:
        refuse("arm", f"is {shown(wanted)}, must be one of {', '.join(names)}")
    return next(arm for arm in present.arms if arm.name == wanted)


def all_to(present: Rollout, name: str) -> dict[str, int]:
    """Give the shares that send all traffic to one arm, in hundredths of a percent."""
    return {arm.name: SHARES_BP if arm.name == name else 0 for arm in present.arms}


def _following(present: Rollout, after: Rollout, author: Author) -> RolloutChange:
    following = replace(after, revision=present.revision + 1)
    return _signed(following, author, before=present.position())


def _signed(after: Rollout, author: Author, *, before: Position | None) -> RolloutChange:
    change = RolloutChange(
        change_id=author.change_id,
        changed_at_ms=author.now_ms,
        changed_by=author.name,
        reason=author.reason,
        rollout=after,
        before=before,
    )
    # What a reader would refuse must not be written.
    return decode_rollout_change(encode_rollout_change(change))


def _first_shares_bp(asked: Start) -> dict[str, int]:
    if asked.strategy == "bandit":
        equal_bp = SHARES_BP // (len(asked.challengers) + 1)
        return dict.fromkeys(asked.challengers, equal_bp)
    first_bp = {
        "canary": asked.plan.stages_bp[0] if asked.plan.stages_bp else 0,
        "ab": asked.challenger_share_bp,
        "shadow": 0,
        "blue_green": 0,
    }[asked.strategy]
    return dict.fromkeys(asked.challengers, first_bp)


def _with_shares(present: Rollout, shares_bp: Mapping[str, int] | None) -> tuple[Arm, ...]:
    if shares_bp is None:
        return present.arms
    names = {arm.name for arm in present.arms}
    if shares_bp.keys() != names:
        told = ", ".join(sorted(shares_bp))
        refuse("shares", f"name {told}, must name {', '.join(sorted(names))}")
    return tuple(replace(arm, share_bp=shares_bp[arm.name]) for arm in present.arms)


def _check_status(present: Rollout, status: Status, why: str) -> None:
    if present.status != status:
        refuse("status", f"is {present.status}: {why}")
