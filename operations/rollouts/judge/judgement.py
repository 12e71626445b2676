"""Judges a rollout: what its strategy asks for, after the guards that all strategies have.

Pure. The controller calls ``judge`` after it has counted what is new, and writes what
``verdict.after`` gives. In this order: a broken guard rolls back, also while the rollout is paused;
shares that do not come out, and labels that stop, pause; then the strategy decides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from operations.rollouts.judge.ab import judge_ab
from operations.rollouts.judge.bandit import judge_bandit
from operations.rollouts.judge.canary import judge_canary
from operations.rollouts.judge.guards import Hypothesis, broken, figures, hypotheses, reason
from operations.rollouts.judge.verdict import Verdict
from operations.rollouts.judge.words import chance, count, duration
from operations.rollouts.shadow import shadow_figures
from operations.rollouts.state import RolloutState
from schemas.rollout import Arm, Rollout
from schemas.rollout_state import Figure

SAMPLE_RATIO_ALPHA = 0.01
"""Probability of a false report that the shares do not come out, over all looks."""

_GUARDED = ("canary", "ab", "bandit")
_LABELLED = ("canary", "ab", "bandit")

_Guards: TypeAlias = list[tuple[Arm, list[Hypothesis]]]
"""The hypotheses about each challenger."""


def judge(rollout: Rollout, state: RolloutState, *, now_ms: int) -> Verdict:
    """Say what should happen to a rollout now.

    Args:
        rollout: as it is.
        state: what was counted of it.
        now_ms: clock, ms since 1970 UTC.
    """
    if not rollout.is_active:
        return Verdict("go_on", f"The rollout has ended: {rollout.status}.")
    if state.shadow is not None:
        decisions = state.totals[rollout.control.name].decisions
        found = shadow_figures(rollout, state.shadow, decisions=decisions)
        return Verdict("go_on", _IN_THE_SHADOW, figures=tuple(found))
    if rollout.strategy not in _GUARDED:
        return Verdict("go_on", _ROUTED_BY_PEOPLE)
    guards = [(arm, hypotheses(rollout, state, arm)) for arm in rollout.challengers]
    verdict = _judged_guards(rollout, guards) or _judged_inputs(rollout, state, now_ms)
    if verdict is None and rollout.status == "paused":
        verdict = Verdict("go_on", "Paused: shares stay until a person resumes or ends it.")
    if verdict is None:
        verdict = _judged_strategy(rollout, state, now_ms)
    return replace(verdict, figures=(*verdict.figures, *_common_figures(rollout, state, guards)))


_IN_THE_SHADOW = "A person decides: the challenger only scores beside the control."
_ROUTED_BY_PEOPLE = "A person decides: this strategy changes nothing by itself."


def _judged_guards(rollout: Rollout, guards: _Guards) -> Verdict | None:
    for arm, found in guards:
        rejected = broken(rollout, found)
        if rejected:
            return Verdict("roll_back", reason(rollout, arm, rejected))
    return None


def _judged_inputs(rollout: Rollout, state: RolloutState, now_ms: int) -> Verdict | None:
    if rollout.status == "paused":
        return None
    p_value = state.sample_ratio.p_value
    if p_value <= SAMPLE_RATIO_ALPHA:
        return Verdict(
            "pause",
            f"The arms do not get their shares: {_counted(rollout, state)}. If they did, such "
            f"counts would have a chance of {chance(p_value)}. Something loses or moves decisions "
            "of one arm, so no result can be trusted; find it, then start a new rollout.",
        )
    silence_ms = now_ms - max(state.latest_label_ms, rollout.started_at_ms)
    limit_ms = rollout.plan.label_silence_ms_max
    if limit_ms and silence_ms > limit_ms and rollout.strategy in _LABELLED:
        return Verdict(
            "pause",
            f"No label has come for {duration(silence_ms)}, limit {duration(limit_ms)} "
            "(plan.label_silence_ms_max): a decision without a label would count as good. "
            "Repair the stream of labels, then resume.",
        )
    return None


def _judged_strategy(rollout: Rollout, state: RolloutState, now_ms: int) -> Verdict:
    if rollout.strategy == "canary":
        return judge_canary(rollout, state, now_ms=now_ms)
    if rollout.strategy == "ab":
        return judge_ab(rollout, state)
    return judge_bandit(rollout, state, now_ms=now_ms)


def _common_figures(rollout: Rollout, state: RolloutState, guards: _Guards) -> list[Figure]:
    p_value = state.sample_ratio.p_value
    found = [
        Figure(
            "sample_ratio_p_value",
            p_value,
            f"Decisions of the arms: {_counted(rollout, state)}. Such counts have a chance of "
            f"{chance(p_value)} if nothing is lost; the rollout pauses at "
            f"{chance(SAMPLE_RATIO_ALPHA)}.",
        )
    ]
    for arm, hypotheses_of_arm in guards:
        of_arm = figures(rollout, hypotheses_of_arm)
        several = len(rollout.challengers) > 1
        found += [
            replace(each, name=f"{each.name}_{arm.name}") if several else each for each in of_arm
        ]
    return found


def _counted(rollout: Rollout, state: RolloutState) -> str:
    counts, expected = state.sample_ratio.counts, state.sample_ratio.expected
    return ", ".join(
        f"{arm.name} {count(have)} of {count(round(should))} expected"
        for arm, have, should in zip(rollout.arms, counts, expected, strict=True)
    )
