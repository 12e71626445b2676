"""Rolls a rollout back, also after its version has become the champion."""

from __future__ import annotations

from dataclasses import dataclass

from models.champion_log import NO_CHAMPION, ROLLED_BACK_TO
from schemas.field_readers import refuse
from schemas.rollout import Rollout, RolloutChange
from schemas.settings import Settings
from scoring.core.rollout_changes import check_won
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
    champion = take_back(settings, newest)
    change = commands.take_back(rollout_id, by=by, reason=reason)
    return RolloutRolledBack([*changes, change], champion)


def take_back(settings: Settings, rollout: Rollout) -> RolledBack:
    """Make the champion before the winner of a completed rollout decide again.

    Delivery: the alias moves in one request. Called again, because the end was not written, it
    changes nothing more.

    Args:
        settings: of the deployment.
        rollout: as it is.

    Raises:
        InvalidEventError: no challenger has won, or its version is not the champion any more.
        NoEarlierChampionError: no earlier champion is left.
        ModelRegistryUnreachableError: no answer.
    """
    check_won(rollout)
    assert rollout.winner is not None
    winner = rollout.winner.version
    versions = ModelVersions.from_settings(settings)
    log = versions.history()
    newest = log.newest
    if newest is not None and newest.version == winner:
        return versions.roll_back()
    before = [entry.version for entry in log.entries[-2:-1]]
    if newest is None or newest.how != ROLLED_BACK_TO or before != [winner]:
        version = NO_CHAMPION if newest is None else newest.version
        now = "there is none" if version == NO_CHAMPION else f"version {version} is"
        refuse(
            "champion",
            f"is not version {winner} of {rollout.rollout_id} any more ({now}); "
            "`weir models history` shows why, `weir models rollback` goes back from there",
        )
    return RolledBack(winner, versions.get(newest.version))
