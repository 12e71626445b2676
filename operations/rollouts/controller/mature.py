"""The second reading of the decisions, which lags by the time until labels are mature."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from clients.log_cursor import LogCursor
from operations.rollouts.controller.counted import CountedDecision, DecisionReader
from schemas.topics import DECISIONS

WAITING_MAX: Final = 20_000
"""Decisions read that are not mature yet, over all partitions."""
WAITING_MIN: Final = 200
"""The same of one partition, however many there are."""
RECORDS_MAX: Final = 2_000
"""Records taken at once."""
READ_S: Final = 0.05
"""Longest wait, s, for decisions: mostly they have been in the log for weeks."""


class _Waiting(NamedTuple):
    position: int
    row: CountedDecision | None


class MatureCursor:
    """Gives the decisions of a rollout when they are old enough.

    Attributes:
        positions: the offset after the last decision given, by partition.
    """

    def __init__(
        self,
        bootstrap: str,
        positions: Mapping[int, int],
        reader: DecisionReader,
        *,
        topic: str = DECISIONS,
    ) -> None:
        """Start at these offsets.

        Raises:
            KafkaUnreachableError: no answer, or the topic is missing.
        """
        self._cursor = LogCursor(bootstrap, topic, positions)
        self.positions = dict(self._cursor.positions)
        self._reader = reader
        self._waiting: dict[int, deque[_Waiting]] = {}
        self._paused: set[int] = set()

    @property
    def deleted(self) -> int:
        """Offsets that Kafka had deleted before they were old enough."""
        return self._cursor.deleted

    def close(self) -> None:
        """Close the connection."""
        self._cursor.close()

    def take(self, *, until_ms: int) -> list[CountedDecision]:
        """Give the next decisions that were made at ``until_ms`` or before, by their time.

        Raises:
            KafkaUnreachableError: no answer.
        """
        self._read()
        rows: list[CountedDecision] = []
        for partition, waiting in self._waiting.items():
            while waiting and (waiting[0].row is None or waiting[0].row.decided_at_ms <= until_ms):
                position, row = waiting.popleft()
                self.positions[partition] = position
                if row is not None:
                    rows.append(row)
        return sorted(rows, key=lambda row: row.decided_at_ms)

    def oldest_waiting_ms(self, *, until_ms: int) -> int | None:
        """Give a time before which all decisions have been given; None while that is not known.

        Args:
            until_ms: of the last `take`.
        """
        oldest = until_ms
        for partition in self._cursor.positions:
            waiting = self._waiting.get(partition)
            if waiting and waiting[0].row is not None:
                oldest = min(oldest, waiting[0].row.decided_at_ms)
            elif not self._cursor.is_at_end(partition):
                return None
        return oldest

    def _read(self) -> None:
        enough = max(WAITING_MAX // max(len(self._cursor.positions), 1), WAITING_MIN)
        for partition, waiting in self._waiting.items():
            if len(waiting) >= enough:
                self._paused.add(partition)
            elif len(waiting) < enough // 2:
                self._paused.discard(partition)
        for record in self._cursor.take(RECORDS_MAX, READ_S, without=self._paused):
            waiting = self._waiting.setdefault(record.partition, deque())
            row = self._reader.read(record.value, record.partition)
            if row is None and waiting and waiting[-1].row is None:
                waiting.pop()
            waiting.append(_Waiting(record.offset + 1, row))
