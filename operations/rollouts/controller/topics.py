"""The topics that the controller reads and writes; tests use others."""

from typing import NamedTuple

from schemas.topics import DECISIONS, LABELS, ROLLOUT_STATE, ROLLOUTS, SHADOW_DECISIONS


class ControllerTopics(NamedTuple):
    """Names of topics."""

    rollouts: str = ROLLOUTS
    decisions: str = DECISIONS
    labels: str = LABELS
    shadow_decisions: str = SHADOW_DECISIONS
    rollout_state: str = ROLLOUT_STATE
