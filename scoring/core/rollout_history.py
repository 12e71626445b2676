"""The rollouts as the log tells them: which of its changes count, and where each rollout stands.

Pure. Everybody who reads the topic ``rollouts`` folds it by this one rule, so workers, API,
controller and commands agree on what is in force without talking to each other.
"""

from __future__ import annotations

from collections.abc import Iterator

from schemas.rollout import Rollout, RolloutChange
from schemas.rollout_rules import check_only_active, check_successor


class RolloutHistory:
    """The newest change of each rollout, folded from the log in its order.

    A change counts only if its revision is the next one of its rollout, and a start only while no
    other rollout of the same model is active. The first writer of a revision wins; what comes
    second changes nothing.
    """

    def __init__(self, *, keeps_revisions: bool = False) -> None:
        """Start with no rollout.

        Args:
            keeps_revisions: keep every change that counts, not only the newest of each rollout,
                for readers that ask `at` or `changes`.
        """
        self._newest: dict[str, RolloutChange] = {}
        self._keeps_revisions = keeps_revisions
        self._changes: dict[str, list[RolloutChange]] = {}

    def apply(self, change: RolloutChange) -> None:
        """Take the next change of the log.

        Raises:
            InvalidEventError: it does not count, and why; nothing has changed.
        """
        after = change.rollout
        newest = self._newest.get(after.rollout_id)
        check_successor(None if newest is None else newest.rollout, change)
        if newest is None:
            check_only_active(after, {name: one.rollout for name, one in self._newest.items()})
        self._newest[after.rollout_id] = change
        if self._keeps_revisions:
            self._changes.setdefault(after.rollout_id, []).append(change)

    def newest(self, rollout_id: str) -> RolloutChange | None:
        """Give the newest change of a rollout; None if there is no such rollout."""
        return self._newest.get(rollout_id)

    def active(self, model_name: str) -> RolloutChange | None:
        """Give the newest change of the rollout that splits the traffic of a model, if one does."""
        return next(
            (
                change
                for change in self._newest.values()
                if change.rollout.is_active and change.rollout.model_name == model_name
            ),
            None,
        )

    def at(self, rollout_id: str, revision: int) -> Rollout | None:
        """Give a rollout as of a revision; None if it is not known."""
        changes = self._changes.get(rollout_id, [])
        return changes[revision - 1].rollout if 1 <= revision <= len(changes) else None

    def changes(self, rollout_id: str) -> list[RolloutChange]:
        """Give every change of a rollout that counts, oldest first."""
        return list(self._changes.get(rollout_id, ()))

    def __iter__(self) -> Iterator[RolloutChange]:
        """Give the newest change of every rollout, in the order of their starts."""
        return iter(list(self._newest.values()))
