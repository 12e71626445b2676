"""Ids that come again, for the same user or another one: decisions, rows and parity agree."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable
from dataclasses import replace

import pytest

from clients.log_record import Record
from features.definitions import DAY_MS
from infra.simulation.event import Event
from operations.parity.recomputation.audit import FeatureLogAudit, LoggedTransactions
from operations.parity.recomputation.merchant_folds import LoggedLabel
from operations.parity.recomputation.recomputed import Recomputed
from operations.parity.recomputation.transaction_contents import fingerprint
from operations.parity.report import FeatureLogReport, SurfaceReport
from operations.parity.surfaces.decisions import DecisionComparison
from operations.parity.surfaces.training_rows import compare_training_rows
from schemas.codec import decode_label, decode_transaction, encode_transaction
from schemas.decision import Decision, Offset
from schemas.feature_row import FeatureRow
from schemas.output_codec import encode_feature_row
from schemas.transaction import Limits, Transaction
from tests.blind_stream import BlindStream
from tests.builders import NOW_MS
from tests.parity_world import SPEC, decided, history
from tests.velocity_twin import VelocityTwin
from training.datasets.read_log import feature_table

PARTITIONS = 4
Logged = list[tuple[int, int, FeatureRow]]
"""Partition, offset, row; in the order of the computation."""


def changed(event: Event, **changes: object) -> Event:
    """The same event with other fields."""
    transaction = replace(decoded(event), **changes)  # type: ignore[arg-type]
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
                (partition, ends[partition], replace(row, computed_at_ms=computed_at(len(logged))))
            )
            ends[partition] += 1
    return logged


def computed_at(number: int) -> int:
    """When a row was computed, by its number, ms since 1970 UTC."""
    return 10**12 + 2 * number


def first_decisions(logged: Logged) -> list[Decision]:
    """The decisions of a scorer that reads the rows in this order and remembers all ids."""
    found: dict[str, Decision] = {}
    for partition, offset, row in logged:
        decision = replace(decided(row, 0), features_offset=Offset(partition, offset))
        found.setdefault(row.transaction.transaction_id, decision)
    return [found[row.transaction.transaction_id] for _, _, row in logged]


def compare(
    logged: Logged,
    decisions: list[Decision],
    *,
    transactions: LoggedTransactions | None = None,
    labels: Iterable[LoggedLabel] = (),
) -> tuple[FeatureLogReport, SurfaceReport, SurfaceReport]:
    """Parity of the feature log, of the decisions and of the rows of training."""
    recomputed = Recomputed()
    audit = FeatureLogAudit(transactions=transactions, recomputed=recomputed)
    in_log_order = sorted(logged, key=lambda each: each[:2])
    for partition, offset, row in in_log_order:
        audit.take(row, partition=partition, offset=offset)
    report = audit.finish(labels)
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


@pytest.mark.parametrize("seed", range(8))
def test_streams_of_the_kinds_that_hide_faults_are_right_in_every_copy(seed: int) -> None:
    stream = BlindStream(random.Random(seed), prefix="b", start_ms=NOW_MS - 60 * DAY_MS)
    events = stream.events(300)
    logged = log_of(events)
    decisions = first_decisions(logged)
    sent = [event for event in events if event.is_transaction]
    said = {origin_of(row): decoded(event) for event, (_, _, row) in zip(sent, logged, strict=True)}
    labels = labels_between_rows(events)
    log, of_decisions, rows = compare(
        logged, decisions, transactions=records_of(said), labels=labels
    )
    assert sum(row.repeat for _, _, row in logged) > 20
    assert log.is_clean, log
    assert log.conflicting_ids
    assert of_decisions.is_clean, of_decisions
    assert rows.is_clean, rows


def test_the_row_of_a_repeat_that_says_what_its_own_record_says_is_a_mismatch() -> None:
    events = transactions()[:200]
    again = changed(events[-1], amount_minor=987_654, merchant_id="another")
    logged = log_of([*events, again])
    said = {
        origin_of(row): decoded(event)
        for event, (_, _, row) in zip([*events, again], logged, strict=True)
    }
    log, _, _ = compare(logged, first_decisions(logged), transactions=records_of(said))
    assert log.is_clean, log
    partition, offset, row = logged.pop()
    assert row.repeat
    logged.append((partition, offset, replace(row, transaction=decoded(again))))
    log, _, _ = compare(logged, first_decisions(logged), transactions=records_of(said))
    assert log.mismatched == 1
    assert log.differences[0].transaction_id == decode_id(again)


def origin_of(row: FeatureRow) -> tuple[int, int]:
    return row.origin.partition, row.origin.offset


def records_of(said: dict[tuple[int, int], Transaction]) -> LoggedTransactions:
    """The records of `transactions`, by partition and offset."""
    fingerprints = {place: fingerprint(transaction) for place, transaction in said.items()}
    return LoggedTransactions(fingerprints, dict.fromkeys(range(PARTITIONS), len(said)))


def labels_between_rows(events: Iterable[Event]) -> list[LoggedLabel]:
    """The labels, each sent after one row and before the next."""
    labels: list[LoggedLabel] = []
    rows = 0
    for event in events:
        if event.is_transaction:
            rows += 1
        else:
            label = decode_label(event.value, limits=Limits(), now_ms=0, is_replay=True)
            labels.append(LoggedLabel(label, computed_at(rows) - 1))
    return labels


def decoded(event: Event) -> Transaction:
    return decode_transaction(event.value, limits=Limits(), now_ms=0, is_replay=True)


def decode_id(event: Event) -> str:
    return decoded(event).transaction_id


def partition_differs(one: Event, other: Event) -> bool:
    return partition_of(one.key.decode()) != partition_of(other.key.decode())
