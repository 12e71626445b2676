"""Makes the version of an arm the champion, through the parity gate, and ends its rollout."""

from __future__ import annotations

from dataclasses import dataclass

from clients.mlflow_rest import ModelVersion
from operations.promotion import ClosedGate, ask_gate, promote_version
from schemas.rollout import CONTROL, Arm, Rollout, RolloutChange
from schemas.settings import Settings
from scoring.core.errors import RolloutConflictError
from scoring.core.rollout_changes import winner_of
from scoring.stores.rollout_commands import RolloutCommands


@dataclass(frozen=True, slots=True)
class RolloutPromoted:
    """A rollout has ended with a champion.

    Attributes:
        changes: of the rollout, oldest first.
        winner: the arm whose version is the champion.
        before: the champion until then; None if it was this version.
    """

    changes: list[RolloutChange]
    winner: Arm
    before: ModelVersion | None


def promote(
    settings: Settings,
    commands: RolloutCommands,
    rollout_id: str,
    *,
    arm: str | None = None,
    by: str,
    reason: str,
    revision: int | None = None,
) -> RolloutPromoted | ClosedGate:
    """Ask the parity gate, make the version of an arm the champion, and end the rollout.

    The rollout is read again after the gate, which takes minutes on long logs: one that was rolled
    back meanwhile promotes nothing. To keep the control needs no gate.

    Delivery: the alias moves first, then the end is written. If writing fails, the version is the
    champion while the rollout still splits the traffic; the same command completes it.
    Blocks: as `operations.promotion.ask_gate`.

    Args:
        settings: of the deployment.
        commands: of its rollouts.
        rollout_id: which one.
        arm: whose version; None for the only challenger.
        by: who asks.
        reason: why, a sentence.
        revision: promote only if the rollout still has this one after the gate; None for any.

    Returns:
        `ClosedGate` if parity is not 0: then nothing has changed.

    Raises:
        NoSuchRolloutError: there is none of this id.
        InvalidEventError: it has ended, or has no such arm.
        RolloutConflictError: the rollout has another revision; or the version is the champion, but
            the end could not be written.
        KafkaUnreachableError, ModelRegistryUnreachableError: no answer.
    """
    winner = winner_of(_newest(commands, rollout_id), arm)
    before = None
    if winner.name != CONTROL:
        gate = ask_gate(settings)
        if isinstance(gate, ClosedGate):
            return gate
        newest = _newest(commands, rollout_id)
        winner_of(newest, arm)
        if revision not in (None, newest.revision):
            raise RolloutConflictError(
                f"rollout {rollout_id} was changed while the parity gate was asked"
            )
        before = promote_version(
            settings, winner.version, gate=gate, reason=f"rollout {rollout_id}: {reason}"
        )
    commands.complete(rollout_id, winner=winner.name, by=by, reason=reason)
    return RolloutPromoted(commands.changes(rollout_id), winner, before)


def _newest(commands: RolloutCommands, rollout_id: str) -> Rollout:
    return commands.changes(rollout_id)[-1].rollout
