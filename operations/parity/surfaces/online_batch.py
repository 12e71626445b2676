"""Compares the batch features in Redis with the archive's snapshots of users.

Compared are the values that a reader would use as of the newest complete snapshot. Reads no
service; `operations.parity.run` hands it what Redis and the archive hold.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Protocol

from features.batch import BATCH_AGE_MS_MAX, BatchView
from features.definitions import Entity
from features.online.batch_values import StoredBatchFeatures, decode_batch_features
from features.online.layout import batch_fields
from operations.parity.report import Difference, SurfaceReport
from operations.parity.surfaces.online import ENTITIES_AT_ONCE
from training.archive.snapshots import SnapshotRow


class StoredUsers(Protocol):
    """The users in Redis."""

    def read_fields(
        self, entity: Entity, ids: Sequence[str], fields: Sequence[bytes]
    ) -> Sequence[Sequence[bytes | None]]:
        """Give some fields of some entities, in the order of the ids."""

    def ids(self, entity: Entity) -> Iterable[str]:
        """Give the ids of all entities of a kind that are stored."""


def compare_online_batch(
    view: BatchView, rows: Iterable[SnapshotRow], stored: StoredUsers, *, complete_ms: int
) -> SurfaceReport:
    """Compare every user that has batch features of a view, in the archive or in Redis.

    A user's values must be those of its newest snapshot, of at most the age that readers accept.
    Values of a later snapshot than the complete one are being written: they count as newer.

    Args:
        view: whose features.
        rows: of the snapshots from `BATCH_AGE_MS_MAX` before the complete one up to it.
        stored: where the fields are read.
        complete_ms: the newest complete snapshot in Redis, ms since 1970 UTC, read before the
            fields are.
    """
    wanted: dict[str, SnapshotRow] = {}
    for row in rows:
        known = wanted.get(row.user_id)
        if known is None or known.snapshot_ms < row.snapshot_ms:
            wanted[row.user_id] = row
    report = SurfaceReport()
    fields = batch_fields(view)
    remaining = iter(dict.fromkeys((*wanted, *stored.ids("user"))))
    while some := list(islice(remaining, ENTITIES_AT_ONCE)):
        found = stored.read_fields("user", some, fields)
        for user_id, values in zip(some, found, strict=True):
            own = decode_batch_features(values, b"%d" % complete_ms, view)
            _compare(report, user_id, own, wanted.get(user_id), complete_ms)
    return report


def _compare(
    report: SurfaceReport,
    user_id: str,
    own: StoredBatchFeatures,
    wanted: SnapshotRow | None,
    complete_ms: int,
) -> None:
    name, own_ms = own.view.name, own.snapshot_ms
    if not own.is_readable:
        report.differs(user_id, name, found="unreadable bytes", recomputed="a snapshot")
    elif own_ms is not None and own_ms > complete_ms:
        report.newer += 1
    elif wanted is None:
        # No reader uses an older one.
        if own_ms is not None and own_ms >= complete_ms - BATCH_AGE_MS_MAX:
            report.extra += 1
            report.keep(Difference(user_id, name, f"of {own_ms}", "absent"))
    elif own_ms is None:
        report.missing += 1
        report.keep(Difference(user_id, name, "absent", f"of {wanted.snapshot_ms}"))
    else:
        report.checked += len(wanted.features)
        if own_ms != wanted.snapshot_ms:
            report.differs(user_id, "snapshot_ms", found=own_ms, recomputed=wanted.snapshot_ms)
        for feature, value in wanted.features.items():
            if own.features[feature] != value:
                report.differs(user_id, feature, found=own.features[feature], recomputed=value)
