"""A rollout: how a new model version is let into the traffic of the champion, and where it stands.

The topic ``rollouts`` holds one `RolloutChange` for each change; the last valid one of a rollout is
its present state. ``operations/rollouts`` and ``weir rollout`` write changes, ``scoring`` follows
them. Bytes are read and written by ``schemas/rollout_codec.py``; what the fields must agree on, and
which change may follow which, is in ``schemas/rollout_rules.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from schemas.fields import Keywords, NotNegative, Share, Text, TimeMs

Strategy = Literal["canary", "ab", "shadow", "blue_green", "bandit"]
Status = Literal["running", "paused", "completed", "aborted", "rolled_back"]

SHARES_BP = 10_000
"""All traffic, in hundredths of a percent; the shares of the arms add up to it."""

CONTROL = "control"
"""Name of the arm that the others are compared with; it takes the traffic that they do not get."""

CONTROLLER = "weir-rollout-controller"
"""The writer of the changes that no person made."""

ACTIVE_STATUSES: frozenset[Status] = frozenset({"running", "paused"})
"""A model name has at most one rollout in these; in the others a rollout stays as it is."""

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_DURATION_MS_MAX = 3_650 * _DAY_MS

# Safe in a Kafka key (whose parts a slash separates), a URL and a file name.
Name = Annotated[
    str, Keywords(minLength=1, maxLength=64, pattern=r"^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$")
]
ShareBp = Annotated[int, Keywords(minimum=0, maximum=SHARES_BP)]
DurationMs = Annotated[int, Keywords(minimum=0, maximum=_DURATION_MS_MAX)]


@dataclass(frozen=True, slots=True)
class Arm:
    """One model version that takes part, and its share of the traffic."""

    name: Annotated[Name, "Name of the arm; one arm is named `control`."]
    version: Annotated[Text, "Version of the model in the registry; fixed for the whole rollout."]
    share_bp: Annotated[
        ShareBp, "Share of the traffic that it decides on, in hundredths of a percent."
    ]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a challenger may do worse than the control before a canary is rolled back."""

    error_share_max: Annotated[
        Share, "Largest share of decisions that the arm failed to make, for whatever reason."
    ] = 0.01
    slow_ms: Annotated[NotNegative, "A model call that takes longer is slow, ms."] = 100
    slow_share_max: Annotated[
        Share, "Largest share of slow decisions; 0.01 holds the 99th percentile to slow_ms."
    ] = 0.01
    outcome_change_max: Annotated[
        Share, "Largest change of the share of APPROVE, REVIEW or BLOCK, as a difference of shares."
    ] = 0.02
    score_change_max: Annotated[
        Share, "Largest change of the mean score, and of the share of scores above a cut-off."
    ] = 0.05
    score_cutoffs: Annotated[
        tuple[Share, ...], "Scores at which the distribution of scores is compared, rising."
    ] = (0.1, 0.5, 0.9)
    loss_increase_max: Annotated[
        Share, "Largest increase of the mean loss once labels are mature, in units of loss."
    ] = 0.0


@dataclass(frozen=True, slots=True)
class LossWeights:
    """The loss of one decision, 0 to 1, once its label is mature. A good decision costs nothing."""

    missed_fraud: Annotated[Share, "Loss of an APPROVE that was fraud."] = 1.0
    false_block: Annotated[Share, "Loss of a BLOCK that was not fraud."] = 0.2
    review: Annotated[Share, "Loss of a REVIEW: the work of the person who reviews it."] = 0.02
    unlabelled_block: Annotated[
        Share,
        "Loss of a BLOCK that has no label: a blocked payment mostly never gets one.",
    ] = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of a rollout. They stay as they are from its start to its end."""

    alpha: Annotated[
        float,
        "Largest probability of a false rollback (canary) or a false winner (A/B), over all looks.",
        Keywords(minimum=1e-6, maximum=0.5),
    ] = 0.05
    stages_bp: Annotated[
        tuple[ShareBp, ...], "Canary: shares of the challenger, rising; the last is all traffic."
    ] = (500, 1_500, 3_000, 5_000, 7_500, 10_000)
    stage_ms_min: Annotated[DurationMs, "Canary: minimum time at each stage, ms."] = _HOUR_MS
    stage_decisions_min: Annotated[
        NotNegative, "Canary: minimum number of the challenger's decisions at each stage."
    ] = 1_000
    unlabelled_share_bp_max: Annotated[
        ShareBp,
        "Canary: largest share of the challenger before matured_decisions_min is reached.",
    ] = 5_000
    matured_decisions_min: Annotated[
        NotNegative,
        "Decisions of each arm whose labels are mature, before labels may let a challenger win.",
    ] = 1_000
    label_maturity_ms: Annotated[
        DurationMs, "Age of a decision at which its label counts as known, ms."
    ] = 30 * _DAY_MS
    label_silence_ms_max: Annotated[
        DurationMs, "Time without any label after which the rollout is paused, ms; 0 is never."
    ] = 2 * _DAY_MS
    effect: Annotated[
        Share,
        "Relative difference of the mean loss that the statistics are tuned for; "
        "they stay valid for any other.",
    ] = 0.2
    planned_decisions: Annotated[
        NotNegative,
        "A/B: number of mature decisions of both arms at the one planned look; 0 if none is.",
    ] = 0
    exploration_bp_min: Annotated[ShareBp, "Bandit: smallest share of each arm."] = 500
    reallocation_ms_min: Annotated[
        DurationMs, "Bandit: minimum time between two changes of the shares, ms."
    ] = _HOUR_MS


@dataclass(frozen=True, slots=True)
class LetThroughRule:
    """Approves a share of the transactions that would be blocked, so that they get labels."""

    share_bp: Annotated[ShareBp, "Share of the would-be blocks to approve; 0 is off."] = 0
    amount_minor_max: Annotated[
        NotNegative, "Largest amount of such a transaction, minor units; larger ones stay blocked."
    ] = 0


@dataclass(frozen=True, slots=True)
class Rollout:
    """The whole state of a rollout after a change."""

    rollout_id: Annotated[Name, "The rollout."]
    revision: Annotated[
        int, "1 for the start, one more for each change.", Keywords(minimum=1, maximum=2**31)
    ]
    model_name: Annotated[Text, "Registered name of the model whose traffic is split."]
    strategy: Annotated[Strategy, "How the challenger is let in."]
    status: Annotated[Status, "Whether it runs, rests or has ended."]
    arms: Annotated[tuple[Arm, ...], "The versions that take part; the order is kept."]
    salt: Annotated[Text, "What the assignment hashes ids with; another one for each rollout."]
    started_at_ms: Annotated[TimeMs, "Clock at the start, ms since 1970 UTC."]
    stage_since_ms: Annotated[
        TimeMs, "Clock at the last change of the stage or of the shares, ms since 1970 UTC."
    ]
    stage: Annotated[NotNegative, "Canary: index of the present stage; else 0."] = 0
    promotes: Annotated[
        Name | None,
        "Arm whose version the controller is to make the champion, because a person asked for it "
        "over HTTP. The parity gate decides; null if no person asked.",
    ] = None
    takes_back: Annotated[
        bool,
        "Whether the controller is to make the champion before the winner of this completed "
        "rollout decide again, because a person asked for it over HTTP.",
    ] = False
    plan: Annotated[Plan, "Parameters of the strategy."] = field(default_factory=Plan)
    limits: Annotated[Limits, "Limits of the guards."] = field(default_factory=Limits)
    loss: Annotated[LossWeights, "What a wrong decision costs."] = field(
        default_factory=LossWeights
    )
    let_through: Annotated[LetThroughRule, "Approval of a few would-be blocks; off by default."] = (
        field(default_factory=LetThroughRule)
    )

    @property
    def is_active(self) -> bool:
        """Say whether the rollout splits traffic, or may again."""
        return self.status in ACTIVE_STATUSES

    @property
    def control(self) -> Arm:
        """Give the control."""
        return next(arm for arm in self.arms if arm.name == CONTROL)

    @property
    def challengers(self) -> tuple[Arm, ...]:
        """Give the other arms, in their order; all strategies but the bandit have one."""
        return tuple(arm for arm in self.arms if arm.name != CONTROL)

    @property
    def winner(self) -> Arm | None:
        """Give the challenger whose version became the champion at the end; None without one."""
        most = max(self.arms, key=lambda arm: arm.share_bp)
        return most if self.status == "completed" and most.name != CONTROL else None

    def position(self) -> Position:
        """Give where it stands: what a change changes."""
        return Position(self.status, self.stage, {arm.name: arm.share_bp for arm in self.arms})


@dataclass(frozen=True, slots=True)
class Position:
    """Where a rollout stands."""

    status: Annotated[Status, "Whether it runs, rests or has ended."]
    stage: Annotated[NotNegative, "Index of the stage."]
    shares_bp: Annotated[dict[str, ShareBp], "Share of each arm, in hundredths of a percent."]


@dataclass(frozen=True, slots=True)
class RolloutChange:
    """One change of a rollout: who, when, why, from what, and the state after it."""

    change_id: Annotated[Name, "This change; no other change of the rollout has it."]
    changed_at_ms: Annotated[TimeMs, "Clock of the writer, ms since 1970 UTC."]
    changed_by: Annotated[Text, "A person, or `weir-rollout-controller`."]
    reason: Annotated[Text, "Why, as a sentence."]
    rollout: Annotated[Rollout, "The state after the change."]
    before: Annotated[
        Position | None, "Where the rollout stood before the change; null at its start."
    ] = None

    @property
    def key(self) -> bytes:
        """Give the key of the record; it is unique, so compaction deletes no change."""
        return f"{self.rollout.rollout_id}/{self.change_id}".encode()
