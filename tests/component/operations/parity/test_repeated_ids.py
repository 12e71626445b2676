"""Ids that come again, for the same user or another one: decisions, rows and parity agree."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import replace

from clients.log_record import Record
from features.definitions import DAY_MS
from infra.simulation.event import Event
from operations.parity.recomputation.audit import FeatureLogAudit
from operations.parity.recomputation.recomputed import Recomputed
from operations.parity.report import FeatureLogReport, SurfaceReport
from operations.parity.surfaces.decisions import DecisionComparison
from operations.parity.surfaces.training_rows import compare_training_rows
from schemas.codec import decode_transaction, encode_transaction
from schemas.decision import Decision, Offset
from schemas.feature_row import FeatureRow
from schemas.output_codec import encode_feature_row
from schemas.transaction import Limits
from tests.parity_world import SPEC, decided, history
from tests.velocity_twin import VelocityTwin
from training.datasets.read_log import feature_table

PARTITIONS = 4
Logged = list[tuple[int, int, FeatureRow]]
"""Partition, offset, row; in the order of the computation."""


def changed(event: Event, **changes: object) -> Event:
    """The same event with other fields."""
    transaction = decode_transaction(event.value, limits=Limits(), now_ms=0, is_replay=True)
    transaction = replace(transaction, **changes)  # type: ignore[arg-type]
    return replace(event, key=transaction.user_id.encode(), value=encode_transaction(transaction))


def transactions() -> list[Event]:
    return [event for event in history(per_day=20) if event.is_transaction]


def partition_of(user_id: str) -> int:
    return zlib.crc32(user_id.encode()) % PARTITIONS


def log_of(events: Iterable[Event]) -> Logged:
    """The feature log of events: a user's rows are in one partition."""
    twin = VelocityTwin()
    ends = dict.fromkeys(range(PARTITIONS), 0)
    logged: Logged = []
    for event in events:
        for row in twin.take(event):
            partition = partition_of(row.transaction.user_id)
            logged.append(
                (partition, ends[partition], replace(row, computed_at_ms=10**12 + len(logged)))
            )
            ends[partition] += 1
    return logged


def first_decisions(logged: Logged) -> list[Decision]:
    """The decisions of a scorer that reads the rows in this order and remembers all ids."""
    found: dict[str, Decision] = {}
    for partition, offset, row in logged:
        decision = replace(decided(row, 0), features_offset=Offset(partition, offset))
        found.setdefault(row.transaction.transaction_id, decision)
    return [found[row.transaction.transaction_id] for _, _, row in logged]


def compare(
    logged: Logged, decisions: list[Decision]
) -> tuple[FeatureLogReport, SurfaceReport, SurfaceReport]:
    """Parity of the feature log, of the decisions and of the rows of training."""
    recomputed = Recomputed()
    audit = FeatureLogAudit(recomputed=recomputed)
    in_log_order = sorted(logged, key=lambda each: each[:2])
    for partition, offset, row in in_log_order:
        audit.take(row, partition=partition, offset=offset)
    report = audit.finish([])
    ends: dict[int, int] = {}
    for partition, offset, _ in in_log_order:
        ends[partition] = offset + 1
    of_decisions = DecisionComparison(recomputed, ends=ends, spec_of=lambda _: SPEC)
    for decision in decisions:
        of_decisions.take(decision)
    table = feature_table(
        Record(partition, offset, -1, encode_feature_row(row))
        for partition, offset, row in in_log_order
    )
    return report, of_decisions.finish(), compare_training_rows(table, recomputed, ends=ends)


def training_row(logged: Logged, transaction_id: str) -> tuple[int, int]:
    """Partition and offset of the row that training reads."""
    table = feature_table(
        Record(partition, offset, -1, encode_feature_row(row))
        for partition, offset, row in sorted(logged, key=lambda each: each[:2])
    )
    (found,) = table[table["transaction_id"] == transaction_id].to_dict("records")
    return found["log_partition"], found["log_offset"]


def test_an_old_row_that_is_sent_again_is_new_to_its_user_and_no_mismatch() -> None:
    events = transactions()
    by_user: dict[bytes, list[Event]] = {}
    for event in events:
        by_user.setdefault(event.key, []).append(event)
    active = max(by_user.values(), key=len)
    assert active[-1].due_ms - active[0].due_ms > 2 * DAY_MS
    logged = log_of([*events, active[0]])
    _, _, again = logged[-1]
    assert not again.repeat
    log, decisions, rows = compare(logged, first_decisions(logged))
    assert log.is_clean, log
    assert decisions.is_clean, decisions
    assert rows.is_clean, rows
    assert not log.conflicting_ids


def test_an_id_of_two_users_is_a_conflict_by_name_however_much_traffic_follows() -> None:
    events = transactions()
    first, other = events[40], next(e for e in events[41:] if partition_differs(events[40], e))
    transaction_id = decode_id(first)
    stolen = changed(other, transaction_id=transaction_id, amount_minor=987_654)
    for following in (0, 150):
        story = [*events[:100], stolen, *events[100 : 100 + following]]
        logged = log_of(story)
        log, decisions, rows = compare(logged, first_decisions(logged))
        assert log.is_clean, log
        assert log.conflicting_ids == {transaction_id}
        assert decisions.is_clean, decisions
        assert decisions.conflicting == 0
        assert rows.is_clean, rows
        (decision,) = {
            (d.features_offset.partition, d.features_offset.offset)
            for d in first_decisions(logged)
            if d.transaction_id == transaction_id
        }
        assert training_row(logged, transaction_id) == decision


def test_a_scorer_that_read_the_other_user_first_is_a_conflict_and_no_mismatch() -> None:
    events = transactions()
    first, other = events[40], next(e for e in events[41:] if partition_differs(events[40], e))
    stolen = changed(other, transaction_id=decode_id(first))
    logged = log_of([*events[:100], stolen])
    backwards = first_decisions([logged[-1], *logged[:-1]])
    log, decisions, rows = compare(logged, backwards)
    assert log.is_clean, log
    assert (decisions.conflicting, decisions.mismatched) == (1, 0), decisions
    assert rows.is_clean, rows
    wrong = replace(backwards[0], score=0.5, features={**backwards[0].features, "hour_of_day": 99})
    _, decisions, _ = compare(logged, [wrong, *backwards[1:]])
    assert decisions.mismatched > 0
    assert decisions.differences[0].transaction_id == decode_id(first)


def decode_id(event: Event) -> str:
    return decode_transaction(event.value, limits=Limits(), now_ms=0, is_replay=True).transaction_id


def partition_differs(one: Event, other: Event) -> bool:
    return partition_of(one.key.decode()) != partition_of(other.key.decode())
