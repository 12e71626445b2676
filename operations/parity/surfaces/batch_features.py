"""Compares the batch features in decisions with the archive's snapshots of users.

`decisions` hands over each decision; the comparison then goes snapshot by snapshot and holds three
of them at a time. Pure; `training.archive.snapshots` reads the rows of snapshots.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from features.batch import BATCH_AGE_MS_MAX, BATCH_NAMES, NO_HISTORY
from features.online.batch_values import REASONS
from operations.parity.report import SurfaceReport, Value
from schemas.decision import Decision
from training.archive.snapshots import SnapshotRow

_AS_OF: Final = "batch_as_of_ms"


ReadSnapshots: TypeAlias = Callable[[int, int], Iterable[SnapshotRow]]
"""Gives the rows of all snapshots between two times, ms since 1970 UTC, both included."""


class _Decided(NamedTuple):
    transaction_id: str
    user_id: str
    event_time_ms: int
    features: Mapping[str, Value]


class BatchComparison:
    """The batch features of all decisions, compared when the last one is known."""

    def __init__(self) -> None:
        """Start without any decision."""
        self._report = SurfaceReport()
        self._decided: dict[int, list[_Decided]] = {}

    def take(self, decision: Decision) -> None:
        """Take one decision; what needs no snapshot is compared at once."""
        found = {name: decision.features[name] for name in BATCH_NAMES if name in decision.features}
        as_of_ms = decision.batch_as_of_ms
        transaction_id = decision.transaction_id
        has_reason = not REASONS.isdisjoint(decision.degraded)
        if as_of_ms is None:
            self._report.checked += len(found)
            if found and not has_reason:
                self._report.differs(
                    transaction_id, _AS_OF, found=None, recomputed="a snapshot, or a reason"
                )
            for name, value in found.items():
                if value is not None:
                    self._report.differs(transaction_id, name, found=value, recomputed=None)
        elif has_reason or not found:
            self._report.differs(transaction_id, _AS_OF, found=as_of_ms, recomputed=None)
        elif not decision.event_time_ms - BATCH_AGE_MS_MAX <= as_of_ms <= decision.event_time_ms:
            self._report.differs(
                transaction_id, _AS_OF, found=as_of_ms, recomputed="one before the event"
            )
        else:
            self._decided.setdefault(as_of_ms, []).append(
                _Decided(transaction_id, decision.user_id, decision.event_time_ms, found)
            )

    def compare(self, read: ReadSnapshots) -> SurfaceReport:
        """Compare the decisions with the snapshots.

        A decision's value must be that of its user's newest snapshot that is not newer than the
        one the decision names and not too old for its event. Without such a snapshot it must be
        the value of a user without history.

        Args:
            read: asked once for each snapshot that a decision names.
        """
        for as_of_ms, decided in sorted(self._decided.items()):
            rows: dict[str, list[SnapshotRow]] = {}
            users = {each.user_id for each in decided}
            for row in read(as_of_ms - BATCH_AGE_MS_MAX, as_of_ms):
                if row.user_id in users:
                    rows.setdefault(row.user_id, []).append(row)
            for each in decided:
                self._compare_one(each, rows.get(each.user_id, ()))
        return self._report

    def _compare_one(self, decided: _Decided, rows: Sequence[SnapshotRow]) -> None:
        oldest_ms = decided.event_time_ms - BATCH_AGE_MS_MAX
        usable = [row for row in rows if row.snapshot_ms >= oldest_ms]
        wanted = max(usable, key=_snapshot_ms).features if usable else NO_HISTORY
        self._report.checked += len(decided.features)
        for name, found in decided.features.items():
            if found != wanted[name]:
                self._report.differs(
                    decided.transaction_id, name, found=found, recomputed=wanted[name]
                )


def _snapshot_ms(row: SnapshotRow) -> int:
    return row.snapshot_ms
