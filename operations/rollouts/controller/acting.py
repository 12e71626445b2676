"""What the controller does about a verdict: the next change, or a promotion beside the counting.

Changes go through the log that the commands write, so the first writer of a revision wins: if a
person was faster, the controller reads what the person wrote and judges again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from operations.promotion import ClosedGate
from operations.rollouts.controller.reading import TOO_MANY_LABELS
from operations.rollouts.judge.verdict import Verdict, after
from operations.rollouts.promote import promote
from operations.rollouts.rollback import take_back
from schemas.errors import InvalidEventError, RetryableError, WeirError
from schemas.rollout import CONTROLLER, Rollout, RolloutChange
from schemas.settings import Settings
from scoring.core.errors import NoSuchRolloutError, RolloutConflictError
from scoring.core.rollout_changes import (
    Author,
    changed,
    not_taken_back,
    paused,
    taken_back,
)
from scoring.stores.rollout_commands import RolloutCommands
from scoring.stores.rollout_log import RolloutLog

logger = logging.getLogger(__name__)

RETRY_MS: Final = 30_000
"""Time between two attempts at a promotion while a service is away, ms."""
REASON_LENGTH_MAX: Final = 1_000
"""Longest reason, in characters."""


class Actor:
    """Writes the controller's changes of rollouts."""

    def __init__(
        self,
        settings: Settings,
        commands: RolloutCommands,
        log: RolloutLog,
        *,
        new_id: Callable[[], str],
    ) -> None:
        """Store the parts.

        Args:
            settings: of the deployment, for the parity gate.
            commands: on its rollouts.
            log: where changes are written.
            new_id: gives ids of changes, each once.
        """
        self._settings = settings
        self._commands = commands
        self._log = log
        self._new_id = new_id
        self._promotion: _Promotion | None = None
        self._rollout_id = ""
        self._wait_until_ms = 0
        self._taken_back: tuple[str, int] | None = None
        self._take_back_from_ms = 0
        self.waits_for: str | None = None
        self.written = 0

    def act(self, rollout: Rollout, verdict: Verdict, *, now_ms: int) -> bool:
        """Do what a verdict asks for.

        A promotion takes minutes on long logs and goes on in a thread of its own, so that a guard
        that breaks meanwhile still takes the challenger back.

        Args:
            rollout: as it is.
            verdict: about it.
            now_ms: clock, ms since 1970 UTC.

        Returns:
            Whether a change was written, by us or by a person who was faster: the rollout that was
            judged is no longer the present one.

        Raises:
            KafkaUnreachableError: the change may not have been written.
        """
        if rollout.rollout_id != self._rollout_id:
            self._rollout_id, self._wait_until_ms, self.waits_for = rollout.rollout_id, 0, None
        if verdict.action in ("roll_back", "pause", "advance", "reallocate"):
            return self._write(rollout, verdict, now_ms)
        winner = rollout.promotes
        if winner is None and verdict.action == "complete":
            winner = rollout.challengers[0].name
        if winner is None:
            self.waits_for = None
            return False
        return self._promote(rollout, winner, verdict, now_ms)

    def pause_for_labels(self, rollout: Rollout, *, now_ms: int) -> bool:
        """Pause a rollout whose labels do not fit into memory; gives whether it was running."""
        if rollout.status != "running":
            return False
        return self._written(
            lambda author: paused(rollout, author), TOO_MANY_LABELS, now_ms, rollout
        )

    def take_back(self, rollout: Rollout, *, now_ms: int) -> None:
        """Make the champion before the winner decide again, because a person asked over HTTP.

        Blocks: some requests to MLflow. If it does not answer, a call after `RETRY_MS` tries again.

        Raises:
            KafkaUnreachableError: the change may not have been written; call it again.
        """
        revision = (rollout.rollout_id, rollout.revision)
        if self._taken_back == revision or now_ms < self._take_back_from_ms:
            return
        make = taken_back
        try:
            done = take_back(self._settings, rollout)
            reason = f"A person asked for it; version {done.now.version} is the champion again."
        except RetryableError as error:
            logger.warning("rollout %s: not taken back yet: %s", rollout.rollout_id, error)
            self._take_back_from_ms = now_ms + RETRY_MS
            return
        except WeirError as error:
            make, reason = not_taken_back, f"Not taken back: {error}"
        self._written(lambda author: make(rollout, author), reason, now_ms, rollout)
        self._taken_back = revision

    def _write(self, rollout: Rollout, verdict: Verdict, now_ms: int) -> bool:
        following = after(rollout, verdict, now_ms=now_ms)
        assert following is not None
        moves = verdict.action != "pause"

        def change(author: Author) -> RolloutChange:
            return changed(
                rollout,
                author,
                status=following.status,
                shares_bp={arm.name: arm.share_bp for arm in following.arms} if moves else None,
                stage=following.stage if moves else None,
            )

        return self._written(change, verdict.reason, now_ms, rollout)

    def _written(
        self, make: Callable[[Author], RolloutChange], reason: str, now_ms: int, rollout: Rollout
    ) -> bool:
        author = Author(CONTROLLER, reason[:REASON_LENGTH_MAX], now_ms, self._new_id())
        try:
            self._log.write(make(author))
        except RolloutConflictError as error:
            logger.info("%s", error)
            return True
        self.written += 1
        logger.info("rollout %s: %s", rollout.rollout_id, reason)
        return True

    def _promote(self, rollout: Rollout, winner: str, verdict: Verdict, now_ms: int) -> bool:
        promotion = self._promotion
        if promotion is None:
            if now_ms >= self._wait_until_ms:
                version = next(arm.version for arm in rollout.arms if arm.name == winner)
                self.waits_for = (
                    f"The parity gate is asked whether version {version} may become the champion."
                )
                reason = verdict.reason if rollout.promotes is None else _ASKED
                self._promotion = _Promotion(
                    self._settings, self._commands, rollout, winner, reason
                )
            return False
        if promotion.is_running:
            return False
        self._promotion = None
        if promotion.rollout != rollout:
            # It was changed meanwhile; the gate is asked again if that is still wanted.
            return False
        return self._ended(promotion, rollout, now_ms)

    def _ended(self, promotion: _Promotion, rollout: Rollout, now_ms: int) -> bool:
        failure = promotion.failure
        if failure is None:
            self.written += 1
            self.waits_for = None
            return True
        self.waits_for = f"Not promoted yet: {failure}"
        logger.warning("rollout %s: not promoted: %s", rollout.rollout_id, failure)
        if promotion.may_be_tried_again:
            self._wait_until_ms = now_ms + RETRY_MS
            return False
        if rollout.promotes is not None:
            reason = f"Not promoted: {failure}. `weir parity` shows it; the rollout goes on."
            return self._written(lambda author: changed(rollout, author), reason, now_ms, rollout)
        reason = f"Not promoted: {failure}. `weir parity` shows it; repair it, then resume."
        return self._written(
            lambda author: changed(rollout, author, status="paused"), reason, now_ms, rollout
        )


_ASKED = "a person asked for it, and parity is 0"


class _Promotion:
    """One promotion in a thread of its own."""

    def __init__(
        self,
        settings: Settings,
        commands: RolloutCommands,
        rollout: Rollout,
        winner: str,
        reason: str,
    ) -> None:
        self.rollout = rollout
        self.failure: str | None = "it ended unexpectedly; the log has the error"
        self.may_be_tried_again = False
        self._arguments = (settings, commands, winner, reason)
        self._thread = threading.Thread(target=self._run, name="promotion", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        settings, commands, winner, reason = self._arguments
        try:
            promoted = promote(
                settings,
                commands,
                self.rollout.rollout_id,
                arm=winner,
                by=CONTROLLER,
                reason=reason,
                revision=self.rollout.revision,
            )
        except (
            RolloutConflictError,
            NoSuchRolloutError,
            InvalidEventError,
            RetryableError,
        ) as error:
            # It has ended meanwhile, or a service is away: look again later.
            self.failure, self.may_be_tried_again = str(error), True
        except WeirError as error:
            self.failure = str(error)
        else:
            gate = promoted if isinstance(promoted, ClosedGate) else None
            self.failure = None if gate is None else gate.reason
            self.may_be_tried_again = gate is not None and gate.cause is not None
