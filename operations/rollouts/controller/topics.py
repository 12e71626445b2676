"""The topics that the controller reads and writes; tests use others."""

from typing import NamedTuple

from schemas.topics import DECISIONS, LABELS, ROLLOUT_STATE, ROLLOUTS


class ControllerTopics(NamedTuple):
    """Names of topics."""

    rollouts: str = ROLLOUTS
    decisions: str = DECISIONS
    labels: str = LABELS
    rollout_state: str = ROLLOUT_STATE
