"""Rolls a rollout back, also after its version has become the champion."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.field_readers import refuse
from schemas.rollout import CONTROL, RolloutChange
from schemas.settings import Settings
from scoring.stores.rollout_commands import RolloutCommands
from training.registry.versions import ModelVersions, RolledBack


@dataclass(frozen=True, slots=True)
class RolloutRolledBack:
    """What a rollback did.

    Attributes:
        changes: of the rollout, oldest first.
        champion: the earlier champion that decides again; None if the champion never changed.
    """

    changes: list[RolloutChange]
    champion: RolledBack | None


def roll_back(
    settings: Settings, commands: RolloutCommands, rollout_id: str, *, by: str, reason: str
) -> RolloutRolledBack:
    """End an active rollout for the control; after a completed one, return to the champion before.

    Neither asks the parity gate: a rollback is the way out when something is wrong.

    Blocks: some requests to Kafka, or to MLflow; scorer and API follow within seconds.

    Args:
        settings: of the deployment.
        commands: of its rollouts.
        rollout_id: which one.
        by: who asks.
        reason: why, a sentence.

    Raises:
        NoSuchRolloutError: there is none of this id.
        InvalidEventError: it has ended without making a version the champion.
        NoEarlierChampionError: no earlier champion is left.
        KafkaUnreachableError, ModelRegistryUnreachableError: no answer.
    """
    changes = commands.changes(rollout_id)
    newest = changes[-1].rollout
    if newest.is_active:
        change = commands.roll_back(rollout_id, by=by, reason=reason)
        return RolloutRolledBack([*changes, change], None)
    winner = max(newest.arms, key=lambda arm: arm.share_bp)
    if newest.status != "completed" or winner.name == CONTROL:
        refuse(
            "status",
            f"is {newest.status}: {rollout_id} has ended and made no new version the champion, so "
            "there is nothing to roll back",
        )
    versions = ModelVersions.from_settings(settings)
    champion = versions.champion()
    if champion is None or champion.version != winner.version:
        now = "there is none" if champion is None else f"version {champion.version} is"
        refuse(
            "champion",
            f"is not version {winner.version} of {rollout_id} any more ({now}); "
            "`weir models history` shows why, `weir models rollback` goes back from there",
        )
    return RolloutRolledBack(changes, versions.roll_back())
