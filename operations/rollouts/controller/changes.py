"""The changes of all rollouts, read as they come."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Final, Self

from clients.kafka import unreachable
from clients.kafka_log import offset_ranges
from clients.log_cursor import LogCursor
from clients.log_record import Record
from schemas.rollout import Rollout, RolloutChange
from scoring.core.rollout_history import RolloutHistory
from scoring.stores.rollout_log import PARTITION, apply_record

logger = logging.getLogger(__name__)

RECORDS_MAX: Final = 1_000
CATCH_UP_S_MAX: Final = 30.0
"""Longest time to read on to the end of the log, s."""
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
        self._bootstrap = bootstrap
        self._topic = topic
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

    def asked_back(self, model_name: str) -> RolloutChange | None:
        """Give the newest change of a completed rollout whose winner is to be taken back."""
        return next(
            (
                change
                for change in self._history
                if change.rollout.takes_back and change.rollout.model_name == model_name
            ),
            None,
        )

    def newest(self, rollout_id: str) -> RolloutChange | None:
        """Give the newest change of a rollout."""
        return self._history.newest(rollout_id)

    def at(self, rollout_id: str, revision: int) -> Rollout | None:
        """Give a rollout at a revision that a decision names; None for one that never was.

        The scorer had read the change before it decided, so the log has it by now. One that is not
        known yet is looked for up to the present end of the log: how long that takes says nothing.

        Blocks: up to `CATCH_UP_S_MAX` at the first decision of a revision.

        Raises:
            KafkaUnreachableError: no answer, or the end was not reached in time; the decision must
                not be passed over.
        """
        found = self._history.at(rollout_id, revision)
        if found is not None or (rollout_id, revision) in self._never:
            return found
        self._read_to_end()
        found = self._history.at(rollout_id, revision)
        if found is None:
            self._never.add((rollout_id, revision))
        return found

    def _read_to_end(self) -> None:
        end = offset_ranges(self._bootstrap, self._topic)[self._topic][PARTITION].end
        until_s = time.monotonic() + CATCH_UP_S_MAX
        while self._cursor.positions[PARTITION] < end:
            if time.monotonic() > until_s:
                raise unreachable(
                    self._bootstrap,
                    f"{self._topic} was not read up to offset {end} within {CATCH_UP_S_MAX:g} s",
                )
            self.read(0.1)

    def _apply(self, record: Record) -> None:
        ignored = apply_record(record, self._history)
        if ignored is not None:
            logger.warning(
                "the record at offset %d of rollouts changes nothing: %s",
                ignored.offset,
                ignored.error,
            )
