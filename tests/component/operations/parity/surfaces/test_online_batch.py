"""Batch features in Redis against the snapshots that they should be of."""

from collections.abc import Iterable, Sequence

import pytest

from features.batch import ACTIVITY, BATCH_AGE_MS_MAX
from features.definitions import DAY_MS, Entity
from features.online.layout import batch_fields
from operations.parity.report import SurfaceReport
from operations.parity.surfaces.online_batch import compare_online_batch
from tests.stored_users import StoredUsers
from training.archive.snapshots import SnapshotRow

COUNT, SUM, MEAN = ACTIVITY.names
COMPLETE_MS = 20_000 * DAY_MS
VALUES = {COUNT: 3, SUM: 700, MEAN: 700 / 3}
OLDER = {COUNT: 2, SUM: 500, MEAN: 250.0}
ROWS = [
    SnapshotRow("u", COMPLETE_MS, VALUES),
    SnapshotRow("u", COMPLETE_MS - DAY_MS, OLDER),
    SnapshotRow("left", COMPLETE_MS - BATCH_AGE_MS_MAX, OLDER),
]


class Redis:
    """What Feast wrote of some users; one has velocity only."""

    def __init__(self) -> None:
        self.users = StoredUsers()
        self.users.materialize("u", VALUES, snapshot_ms=COMPLETE_MS)
        self.users.materialize("left", OLDER, snapshot_ms=COMPLETE_MS - BATCH_AGE_MS_MAX)
        self.users.materialize("gone", OLDER, snapshot_ms=COMPLETE_MS - BATCH_AGE_MS_MAX - DAY_MS)
        self.users.remember("new", {}, event_time_ms=COMPLETE_MS)

    def read_fields(
        self, entity: Entity, ids: Sequence[str], fields: Sequence[bytes]
    ) -> list[list[bytes | None]]:
        assert entity == "user"
        return [[self.users.hashes.get(user_id, {}).get(f) for f in fields] for user_id in ids]

    def ids(self, entity: Entity) -> list[str]:
        assert entity == "user"
        return list(self.users.hashes)


def compare(redis: Redis, rows: Iterable[SnapshotRow] = ROWS) -> SurfaceReport:
    return compare_online_batch(ACTIVITY, rows, redis, complete_ms=COMPLETE_MS)


def test_what_readers_use_is_the_newest_snapshot_of_each_user() -> None:
    assert compare(Redis()) == SurfaceReport(checked=2 * len(ACTIVITY.names))


@pytest.mark.parametrize(
    ("name", "broken"), [(COUNT, 4), (SUM, 701), (MEAN, 700 / 3 + 1e-13), (MEAN, None)]
)
def test_a_wrong_value_is_found(name: str, broken: float | None) -> None:
    redis = Redis()
    redis.users.materialize("u", {**VALUES, name: broken}, snapshot_ms=COMPLETE_MS)
    report = compare(redis)
    assert (report.checked, report.mismatched) == (2 * len(ACTIVITY.names), 1)
    (difference,) = report.differences
    assert (difference.transaction_id, difference.feature) == ("u", name)
    assert (difference.logged, difference.recomputed) == (broken, VALUES[name])


@pytest.mark.parametrize(
    ("snapshot_ms", "counts"),
    [
        (COMPLETE_MS - DAY_MS, {"checked": 6, "mismatched": 4}),
        (COMPLETE_MS + DAY_MS, {"checked": 3, "newer": 1}),
    ],
)
def test_a_snapshot_of_another_day_is_behind_or_newer(
    snapshot_ms: int, counts: dict[str, int]
) -> None:
    redis = Redis()
    redis.users.materialize("u", OLDER, snapshot_ms=snapshot_ms)
    report = compare(redis)
    assert {name: getattr(report, name) for name in counts} == counts
    assert report.is_clean == ("newer" in counts)


def test_absent_unbacked_and_damaged_values_are_counted() -> None:
    redis = Redis()
    del redis.users.hashes["u"]
    redis.users.materialize("stranger", OLDER, snapshot_ms=COMPLETE_MS)
    redis.users.hashes["left"][batch_fields(ACTIVITY)[1]] = b"\xff"
    report = compare(redis)
    assert (report.missing, report.extra, report.mismatched) == (1, 1, 1)
    assert {each.transaction_id for each in report.differences} == {"u", "stranger", "left"}
