"""The label checker: corrects labels that name another merchant than their transaction's.

Run ``python -m operations.labels.checker``. The velocity job keys labels by their merchant, so it
cannot know that the transaction is another merchant's; the archive can. For such a label the
checker sends the same one with the right merchant, and records it in the archive's table
``label_corrections``, together with the offsets up to which all labels have been checked. See
docs/adr/0028.

::

    labels of the archive ──▶ pending ──▶ look up their transactions ──▶ right: nothing to do
                                 ▲                                  └──▶ wrong: send, record
                                 └── unknown yet: again later, up to a day
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final

from clients.program import run_until_stopped
from operations.labels.archived import (
    day_of,
    labels_between,
    observations_of,
    rows_around,
    rows_at_times,
    rows_of,
)
from operations.labels.corrections import (
    Correction,
    ReportedLabel,
    correction_of,
    known_transactions,
    not_yet_reported,
)
from operations.labels.recorded import RecordedCorrections
from operations.labels.send import LabelsTopic, OutgoingLabel
from schemas.errors import RetryableError, shown
from schemas.settings import Settings
from schemas.topics import HEADER_CORRECTS, LABELS
from training.archive.followed_log import check_followed
from training.archive.store import ArchiveTable
from training.errors import NoArchiveError

logger = logging.getLogger(__name__)

SOURCE: Final = "/weir/label-checker"
READ_OFFSETS_MAX: Final = 10_000
"""How many offsets of a partition are read at once."""
PENDING_MAX: Final = 50_000
"""Labels that wait for their transaction. Beyond it the longest known are given up."""
LOOK_FOR_S: Final = 86_400
"""How long the transaction of a label is looked for, s."""
RETRY_S_MAX: Final = 3_600
"""Longest time, s, between two attempts for one label."""
SAVE_S: Final = 300
"""How often the offsets are recorded if there is no correction, s."""
NICENESS: Final = 19
"""Nothing waits for it: merchant features are a week old."""


@dataclass
class _Pending:
    """A label whose transaction is not known yet; times are those of the checker's clock, s."""

    reported: ReportedLabel
    since_s: float
    due_s: float
    attempts: int = 0

    @property
    def group(self) -> tuple[bool, date]:
        """Labels of one group are looked up together: first by the exact time, then by days."""
        return self.attempts > 0, day_of(self.reported.label.event_time_ms)


class LabelChecker:
    """Checks the archived labels from where the last checker stopped.

    Delivery: at least once. After a crash labels are checked again, and a correction may be sent
    again, which changes nothing.
    Memory: `PENDING_MAX` labels, and the rows of their transactions.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        topic: LabelsTopic | None = None,
        clock_s: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """Point at Kafka and the archive; nothing is asked before the first step.

        Args:
            settings: where Kafka and the archive are.
            topic: where corrections are sent; the broker of the settings if it is None.
            clock_s: a clock that never goes back, s.
            now_ms: the time, ms since 1970 UTC.
        """
        self._topic = topic or LabelsTopic(settings.kafka_bootstrap)
        self._check_s = settings.label_check_s
        self._url = settings.archive_url
        self._clock_s = clock_s
        self._now_ms = now_ms
        self._recorded = RecordedCorrections(self._url)
        self._read_until: dict[int, int] = {}
        self._saved_s = clock_s()
        self._pending: dict[tuple[int, int], _Pending] = {}

    def step(self) -> bool:
        """Look up the transactions of the labels of one day.

        Returns:
            False if nothing is to be done now.

        Raises:
            NoArchiveError: nothing has been archived yet.
            ArchiveConflictError: another checker has recorded the same labels.
            KafkaUnreachableError: Kafka does not answer.
            ArchiveUnreachableError: the storage failed.
        """
        due = self._due()
        if not due:
            self._read()
            due = self._due()
        if due:
            self._look_up(due)
        elif self._clock_s() - self._saved_s >= SAVE_S:
            self._save([])
        return bool(due)

    def _due(self) -> list[_Pending]:
        """Give the pending labels of one group that are due."""
        now_s = self._clock_s()
        due = [pending for pending in self._pending.values() if pending.due_s <= now_s]
        return [pending for pending in due if pending.group == due[0].group]

    def _read(self) -> None:
        """Read the labels that have been archived since the last call, up to a limit."""
        labels = ArchiveTable(self._url, LABELS)
        ends = {partition: labels.next_offset(partition) for partition in self._topic.partitions()}
        if not self._read_until:
            self._read_until = self._recorded.checked_until(ends, followed=labels.followed)
        start = {partition: self._read_until.get(partition, 0) for partition in ends}
        until = {
            partition: min(end, start[partition] + READ_OFFSETS_MAX)
            for partition, end in ends.items()
        }
        if until == start:
            return
        now_s = self._clock_s()
        for reported in labels_between(self._url, start=start, until=until):
            place = (reported.partition, reported.offset)
            self._pending[place] = _Pending(reported, since_s=now_s, due_s=now_s)
        self._read_until = until
        while len(self._pending) > PENDING_MAX:
            self._give_up(next(iter(self._pending.values())))

    def _look_up(self, group: list[_Pending]) -> None:
        labels = [pending.reported.label for pending in group]
        ids = [label.transaction_id for label in labels]
        by_days, day = group[0].group
        rows = (
            rows_around(self._url, ids, day=day)
            if by_days
            else rows_at_times(self._url, ids, times_ms=[label.event_time_ms for label in labels])
        )
        known = known_transactions(rows)
        corrections = []
        for pending in group:
            transaction = known.get(pending.reported.label.transaction_id)
            if transaction is None:
                self._try_later(pending)
                continue
            self._forget(pending)
            if (correction := correction_of(pending.reported, transaction)) is not None:
                corrections.append(correction)
        corrections = self._of_first_rows(corrections)
        if corrections:
            observations = observations_of(self._url, [one.label for one in corrections])
            self._correct(not_yet_reported(corrections, observations))

    def _of_first_rows(self, corrections: list[Correction]) -> list[Correction]:
        """Judge labels again by all rows of their ids: the first row may have another time."""
        if not corrections:
            return []
        ids = [correction.label.transaction_id for correction in corrections]
        known = known_transactions(rows_of(self._url, ids))
        judged = [
            correction_of(correction.reported, known[correction.label.transaction_id])
            for correction in corrections
        ]
        return [correction for correction in judged if correction is not None]

    def _correct(self, corrections: list[Correction]) -> None:
        if not corrections:
            return
        self._topic.send(
            [
                OutgoingLabel(
                    correction.label,
                    SOURCE,
                    headers=((HEADER_CORRECTS, correction.reported.place.encode()),),
                )
                for correction in corrections
            ],
            now_ms=self._now_ms(),
        )
        self._save(corrections)
        first = corrections[0]
        logger.warning(
            "corrected %d labels that named another merchant than their transaction's; the first "
            "is %s: it named %s for transaction %s, which is of merchant %s",
            len(corrections),
            first.reported.place,
            shown(first.reported.label.merchant_id),
            shown(first.label.transaction_id),
            shown(first.label.merchant_id),
        )

    def _save(self, corrections: list[Correction]) -> None:
        """Record corrections, and the offsets before which no label is pending."""
        checked = dict(self._read_until)
        for partition, offset in self._pending:
            checked[partition] = min(checked[partition], offset)
        self._recorded.record(corrections, checked_until=checked, now_ms=self._now_ms())
        self._saved_s = self._clock_s()

    def _try_later(self, pending: _Pending) -> None:
        now_s = self._clock_s()
        pending.attempts += 1
        delay_s = min(self._check_s * 2**pending.attempts, RETRY_S_MAX)
        pending.due_s = now_s + delay_s
        if now_s - pending.since_s > LOOK_FOR_S:
            self._give_up(pending)

    def _give_up(self, pending: _Pending) -> None:
        self._forget(pending)
        logger.info(
            "the label %s is about transaction %s, which is not in the archive on the days around "
            "its event time; its merchant was not checked",
            pending.reported.place,
            shown(pending.reported.label.transaction_id),
        )

    def _forget(self, pending: _Pending) -> None:
        del self._pending[pending.reported.partition, pending.reported.offset]


def follow(settings: Settings, stop: threading.Event) -> None:
    """Check labels until ``stop`` is set.

    On failure: a failed service is logged and asked again after ``settings.label_check_s``.

    Raises:
        OtherLogError: the archived labels are from another log than the one to be corrected.
    """
    checker = LabelChecker(settings)
    pause_s: float = 0
    while not stop.wait(pause_s):
        try:
            check_followed(settings, LABELS)
            pause_s = 0 if checker.step() else settings.label_check_s
        except NoArchiveError:
            # The archiver has not created its tables yet.
            pause_s = settings.label_check_s
        except RetryableError as error:
            logger.warning("%s: %s", type(error).__name__, error)
            checker = LabelChecker(settings)
            pause_s = settings.label_check_s


if __name__ == "__main__":
    sys.exit(run_until_stopped(follow, niceness=NICENESS))
