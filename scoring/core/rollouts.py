"""A rollout as the scorer uses it: its arms with their models, and the arm of each transaction.

Pure. `scoring.stores.rollouts` builds a `RolloutInUse` from the log, the worker and the API ask it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from models.model import Model
from schemas.rollout import CONTROL, Rollout
from scoring.core.assignment import Assigned, LetThrough, Split

DEGRADED_ARM_UNAVAILABLE = "arm_unavailable"
"""The version of the row's arm could not be loaded, or failed to score: another model scored."""


class Assigner:
    """Assigns transactions to the arms of one revision of a rollout.

    A user stays in one arm, except in a bandit, which draws for each transaction. The same
    transaction at the same revision always gets the same arm, so parity can check the log.
    """

    def __init__(self, rollout: Rollout) -> None:
        """Lay out the arms of a valid rollout."""
        self._split = Split(
            [(arm.name, arm.share_bp) for arm in rollout.arms], control=CONTROL, salt=rollout.salt
        )
        self._draws_each = rollout.strategy == "bandit"

    def assign_all(self, ids: Iterable[tuple[bytes, bytes]]) -> list[Assigned]:
        """Give the arm of each transaction.

        Args:
            ids: user and transaction, UTF-8.
        """
        if self._draws_each:
            return self._split.assign(transaction_id for _, transaction_id in ids)
        return self._split.assign(user_id for user_id, _ in ids)

    def assign(self, *, user_id: str, transaction_id: str) -> Assigned:
        """Give the arm of one transaction."""
        return self.assign_all([(user_id.encode(), transaction_id.encode())])[0]


@dataclass(frozen=True, slots=True)
class RolloutInUse:
    """The active rollout of the scorer's model, at one revision. Immutable.

    Attributes:
        rollout: where it stands.
        assigner: gives the arm of each transaction.
        let_through: approves a few would-be blocks; None if that is off.
        models: the model of each arm; None where the version cannot be loaded.
    """

    rollout: Rollout
    assigner: Assigner
    let_through: LetThrough | None
    models: Mapping[str, Model | None]

    @classmethod
    def of(cls, rollout: Rollout, models: Mapping[str, Model | None]) -> RolloutInUse:
        """Put a valid rollout and the models of its arms together."""
        rule = rollout.let_through
        return cls(
            rollout=rollout,
            assigner=Assigner(rollout),
            let_through=(
                LetThrough(
                    share_bp=rule.share_bp,
                    amount_minor_max=rule.amount_minor_max,
                    salt=rollout.salt,
                )
                if rule.share_bp
                else None
            ),
            models=models,
        )

    def model_with_batch_features(self, champion: Model) -> Model | None:
        """Give a model that takes batch features, of all that may score; None if none does."""
        models = (champion, *self.models.values())
        return next((each for each in models if each is not None and each.batch_columns), None)


@dataclass(frozen=True, slots=True)
class RolloutStanding:
    """The active rollout of the log, as far as this process has it.

    Attributes:
        rollout: its newest revision.
        is_in_use: whether the process assigns by it; not before it has the versions of the arms.
        loaded: for each arm, by name, whether its version is loaded.
        refused: versions that will never score, with the reasons.
    """

    rollout: Rollout
    is_in_use: bool
    loaded: Mapping[str, bool]
    refused: Mapping[str, str]


class RolloutSource(Protocol):
    """Gives the rollout that splits the traffic at present."""

    def current(self) -> RolloutInUse | None:
        """Give the active rollout with its models; None if there is none.

        Never blocks and never raises; may be called from any thread. Two calls may give different
        revisions, so a batch calls it once.
        """
        ...

    def standing(self) -> RolloutStanding | None:
        """Say how far the process has the active rollout; None if there is none."""
        ...


class NoRollouts:
    """A `RolloutSource` without any rollout."""

    def current(self) -> RolloutInUse | None:
        """Give None."""
        return None

    def standing(self) -> RolloutStanding | None:
        """Give None."""
        return None
