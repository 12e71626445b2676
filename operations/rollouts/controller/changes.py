"""The changes of all rollouts, read as they come."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Final, Self

from clients.kafka import unreachable
from clients.log_cursor import LogCursor
from clients.log_record import Record
from schemas.rollout import Rollout, RolloutChange
from scoring.core.rollout_history import RolloutHistory
from scoring.stores.rollout_log import apply_record

logger = logging.getLogger(__name__)

RECORDS_MAX: Final = 1_000
CATCH_UP_S_MAX: Final = 5.0
"""Longest wait for a change that a decision names, s: the scorer had read it before."""
FIRST_READ_S_MAX: Final = 60.0
"""Longest time for the first reading of the log, s."""
FETCH_WAIT_MS: Final = 500


class FollowedChanges:
    """The log of rollouts, with every revision of each; a context manager."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        """Read the log to its end.

        Raises:
            KafkaUnreachableError: no answer, or the topic is missing.
        """
        self._history = RolloutHistory(keeps_revisions=True)
        self._cursor = LogCursor(bootstrap, topic, {}, fetch_wait_ms=FETCH_WAIT_MS)
        self._never: set[tuple[str, int]] = set()
        until_s = time.monotonic() + FIRST_READ_S_MAX
        while not self._cursor.is_at_end():
            self.read(0.1)
            if time.monotonic() > until_s:
                raise unreachable(bootstrap, f"{topic} has no end after {FIRST_READ_S_MAX:g} s")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cursor.close()

    def read(self, timeout_s: float) -> None:
        """Take the changes that have come; waits ``timeout_s`` for one.

        Raises:
            KafkaUnreachableError: no answer.
        """
        for record in self._cursor.take(1, timeout_s, values_only=False):
            self._apply(record)
        for record in self._cursor.take(RECORDS_MAX, 0, values_only=False):
            self._apply(record)

    def active(self, model_name: str) -> RolloutChange | None:
        """Give the newest change of the rollout that splits the traffic of a model."""
        return self._history.active(model_name)

    def newest(self, rollout_id: str) -> RolloutChange | None:
        """Give the newest change of a rollout."""
        return self._history.newest(rollout_id)

    def at(self, rollout_id: str, revision: int) -> Rollout | None:
        """Give a rollout at a revision; waits for it if it is not known yet.

        Raises:
            KafkaUnreachableError: no answer.
        """
        found = self._history.at(rollout_id, revision)
        if found is not None or (rollout_id, revision) in self._never:
            return found
        until_s = time.monotonic() + CATCH_UP_S_MAX
        while found is None and time.monotonic() < until_s:
            self.read(0.1)
            found = self._history.at(rollout_id, revision)
        if found is None:
            self._never.add((rollout_id, revision))
        return found

    def _apply(self, record: Record) -> None:
        ignored = apply_record(record, self._history)
        if ignored is not None:
            logger.warning(
                "the record at offset %d of rollouts changes nothing: %s",
                ignored.offset,
                ignored.error,
            )
