"""What people do with rollouts: start, pause, resume, switch, abort, roll back, ask for promotion.

Each call reads the log, makes one change and writes it; a change that does not count changed
nothing. Called by the commands (`operations.rollouts`) and by the API. A promotion itself needs the
parity gate and is `operations.rollouts.promote`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec

from schemas.errors import shown
from schemas.field_readers import refuse
from schemas.rollout import Rollout, RolloutChange
from schemas.rollout_rules import check_only_active
from scoring.core.errors import NoSuchRolloutError, RolloutConflictError
from scoring.core.rollout_changes import (
    Author,
    Start,
    aborted,
    asked_to_promote,
    asked_to_roll_back,
    completed,
    paused,
    resumed,
    rolled_back,
    started,
    switched,
    taken_back,
)
from scoring.core.rollout_history import RolloutHistory
from scoring.core.rollout_request import NAME_LENGTH_MAX, REASON_LENGTH_MAX
from scoring.stores.rollout_log import RolloutLog
from scoring.stores.rollout_versions import RolloutVersions

_P = ParamSpec("_P")

TRIES_MAX: Final = 4
"""How often a change is written while other writers are faster."""


class RolloutCommands:
    """The commands on the rollouts of one model."""

    def __init__(
        self,
        log: RolloutLog,
        versions: RolloutVersions,
        *,
        model_name: str,
        now_ms: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        """Store the parts.

        Args:
            log: where changes are read and written.
            versions: which versions may be used.
            model_name: the registered model.
            now_ms: the clock, ms since 1970 UTC.
            new_id: gives ids of changes, each once.
        """
        self._log = log
        self._versions = versions
        self._model_name = model_name
        self._now_ms = now_ms
        self._new_id = new_id

    def read(self) -> RolloutHistory:
        """Give every rollout with all its changes.

        Raises:
            KafkaUnreachableError: no answer.
        """
        return self._log.read()

    def changes(self, rollout_id: str) -> list[RolloutChange]:
        """Give the changes of one rollout, oldest first.

        Raises:
            NoSuchRolloutError: there is none of this id.
            KafkaUnreachableError: no answer.
        """
        found = self._log.read().changes(rollout_id)
        if not found:
            raise _unknown(rollout_id)
        return found

    def start(self, asked: Start, *, by: str, reason: str) -> RolloutChange:
        """Start a rollout; its control is the present champion.

        Raises:
            InvalidEventError: a version, a share or another rollout is in the way; it says which.
            RolloutConflictError: another one was started at the same time.
            KafkaUnreachableError, ModelRegistryUnreachableError: no answer.
        """
        change = started(
            asked,
            self._author(by, reason),
            model_name=self._model_name,
            control=self._versions.champion(),
        )
        history = self._log.read()
        check_only_active(change.rollout, {one.rollout.rollout_id: one.rollout for one in history})
        for version in asked.challengers.values():
            self._versions.check(version)
        self._log.write(change)
        return change

    def pause(self, rollout_id: str, *, by: str, reason: str) -> RolloutChange:
        """Let a rollout rest: its shares stay, the controller takes no step."""
        return self._change(rollout_id, by, reason, paused)

    def resume(self, rollout_id: str, *, by: str, reason: str) -> RolloutChange:
        """Let a paused rollout go on."""
        return self._change(rollout_id, by, reason, resumed)

    def switch(
        self, rollout_id: str, *, to: str | None = None, by: str, reason: str
    ) -> RolloutChange:
        """Move all traffic of a blue/green rollout to its other arm, or back."""
        return self._change(rollout_id, by, reason, switched, to=to)

    def abort(self, rollout_id: str, *, by: str, reason: str) -> RolloutChange:
        """End a rollout without a verdict: the champion decides alone."""
        return self._change(rollout_id, by, reason, aborted)

    def roll_back(self, rollout_id: str, *, by: str, reason: str) -> RolloutChange:
        """End a rollout because the challenger is bad: the champion decides alone."""
        return self._change(rollout_id, by, reason, rolled_back)

    def take_back(self, rollout_id: str, *, by: str, reason: str) -> RolloutChange:
        """Say that a winner is the champion no more; `operations.rollouts` calls it."""
        return self._change(rollout_id, by, reason, taken_back)

    def ask_to_roll_back(self, rollout_id: str, *, by: str, reason: str) -> RolloutChange:
        """Take the challenger back; once it has won, ask the controller to do that."""
        return self._change(rollout_id, by, reason, asked_to_roll_back)

    def ask_to_promote(
        self, rollout_id: str, *, arm: str | None = None, by: str, reason: str
    ) -> RolloutChange:
        """Ask the controller to make the version of an arm the champion, if parity is 0."""
        return self._change(rollout_id, by, reason, asked_to_promote, name=arm)

    def complete(self, rollout_id: str, *, winner: str, by: str, reason: str) -> RolloutChange:
        """End a rollout whose winner has become the champion; `operations.rollouts` calls it."""
        return self._change(rollout_id, by, reason, completed, winner=winner)

    def _change(
        self,
        rollout_id: str,
        by: str,
        reason: str,
        make: Callable[Concatenate[Rollout, Author, _P], RolloutChange],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> RolloutChange:
        # The controller may be faster. The person's wish is then applied to what it wrote, unless
        # the rollout has ended or is already as wanted, which `make` refuses.
        for is_last in (*[False] * (TRIES_MAX - 1), True):
            newest = self._log.read().newest(rollout_id)
            if newest is None:
                raise _unknown(rollout_id)
            change = make(newest.rollout, self._author(by, reason), *args, **kwargs)
            try:
                self._log.write(change)
                break
            except RolloutConflictError:
                if is_last:
                    raise
        return change

    def _author(self, by: str, reason: str) -> Author:
        for name, text, limit in (
            ("by", by, NAME_LENGTH_MAX),
            ("reason", reason, REASON_LENGTH_MAX),
        ):
            if not text.strip() or len(text) > limit or not text.isprintable():
                refuse(name, f"is {shown(text)}, must be text of 1 to {limit} characters in a line")
        return Author(name=by, reason=reason, now_ms=self._now_ms(), change_id=self._new_id())


def _unknown(rollout_id: str) -> NoSuchRolloutError:
    return NoSuchRolloutError(
        f"there is no rollout {shown(rollout_id)}; `weir rollout list` shows all"
    )
