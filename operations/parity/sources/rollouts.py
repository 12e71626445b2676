"""The rollouts that decisions name, as of their revisions, from the log of rollouts."""

from __future__ import annotations

from collections.abc import Callable

from schemas.decision import RolloutRef
from schemas.settings import Settings
from scoring.core.rollouts import RolloutInUse
from scoring.stores.rollout_log import RolloutLog

RolloutAt = Callable[[RolloutRef], RolloutInUse | None]
"""Gives a rollout as of a revision; None if the log does not have it."""


def logged_rollouts(settings: Settings) -> RolloutAt:
    """Give what finds rollouts.

    The log is read when the first decision names a rollout, and again for a revision that it did
    not have then: decisions may be newer than a reading.
    """
    log = RolloutLog(settings.kafka_bootstrap, source="/weir/parity")
    found: dict[RolloutRef, RolloutInUse | None] = {}

    def rollout_at(ref: RolloutRef) -> RolloutInUse | None:
        if ref not in found:
            found[ref] = None
            for change in log.read().changes(ref.id):
                rollout = change.rollout
                at = RolloutRef(rollout.rollout_id, rollout.revision)
                found[at] = RolloutInUse.of(rollout, {})
        return found[ref]

    return rollout_at
