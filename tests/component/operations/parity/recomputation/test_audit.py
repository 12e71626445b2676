import random
from dataclasses import replace

import pytest

from infra.simulation.event import Event
from operations.parity.recomputation.audit import FeatureLogAudit, OtherDefinitionsError
from operations.parity.recomputation.recomputed import Recomputed
from operations.parity.report import FeatureLogReport
from schemas.feature_row import FeatureRow
from tests.parity_world import audit, history, labels_of, listed, rows_of

FEATURES_PER_ROW = 26


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return history(per_day=80)


def test_a_true_log_has_no_difference_in_any_value(events: list[Event]) -> None:
    rows = rows_of(events)
    report = audit(rows, labels=labels_of(events), transactions=listed(rows))
    assert report == FeatureLogReport(rows=len(rows), checked=len(rows) * FEATURES_PER_ROW)
    assert report.is_clean
    assert any(row.features["merchant_fraud_rate_30d_delay_7d"] for row in rows)


@pytest.mark.parametrize(
    "feature",
    [
        "user_amount_sum_1h",
        "user_merchant_distinct_1d",
        "merchant_fraud_rate_7d_delay_7d",
        "hour_of_day",
    ],
)
def test_a_broken_aggregate_is_found_in_every_row_it_broke(
    events: list[Event], feature: str
) -> None:
    def broken(row: FeatureRow) -> FeatureRow:
        return replace(row, features={**row.features, feature: (row.features[feature] or 0) + 1})

    rows = rows_of(events, broken)
    report = audit(rows, labels=labels_of(events))
    assert report.mismatched == len(rows)
    assert not report.is_clean
    assert {difference.feature for difference in report.differences} == {feature}
    assert len(report.differences) == 10


def test_a_wrong_mark_of_approximation_and_an_absent_feature_are_mismatches(
    events: list[Event],
) -> None:
    rows = rows_of(events)
    marked = replace(rows[3], approximate=("user_amount_sum_1h",))
    features = {**rows[4].features}
    del features["is_night"]
    report = audit(
        [*rows[:3], marked, replace(rows[4], features=features), *rows[5:]],
        labels=labels_of(events),
    )
    assert report.mismatched == 2
    assert [difference.logged for difference in report.differences] == [
        f"{marked.features['user_amount_sum_1h']} (approximate)",
        "absent",
    ]


def test_rows_may_overtake_each_other_and_be_repeated_after_a_failure(
    events: list[Event],
) -> None:
    rows = rows_of(events)
    shuffled = []
    order = random.Random(7)
    for start in range(0, len(rows), 50):
        part = rows[start : start + 50]
        order.shuffle(part)
        shuffled += part
    repeated = [*shuffled[:400], *shuffled[350:400], *shuffled[400:]]
    report = audit(repeated, labels=labels_of(events), transactions=listed(rows))
    assert report.is_clean
    assert report.repeats == 50


def test_a_second_delivery_is_a_repeat_and_changes_nothing(events: list[Event]) -> None:
    first = next(event for event in events if event.is_transaction)
    rows = rows_of([*events[:200], first, *events[200:]])
    assert sum(row.repeat for row in rows) == 1
    report = audit(rows, labels=labels_of(events), transactions=listed(rows))
    assert report.is_clean
    assert report.repeats == 1


def test_a_row_that_is_not_there_is_missing_and_leaves_a_gap(events: list[Event]) -> None:
    rows = rows_of(events)
    victim = next(row for row in rows if row.user_sequence == 1 and has_later_row(rows, row))
    left = [row for row in rows if row is not victim]
    report = audit(left, labels=labels_of(events), transactions=listed(rows))
    assert report.missing == 1
    assert report.gaps > 0
    assert not report.is_clean


def test_a_row_that_did_not_fit_its_topic_is_folded_and_not_compared(events: list[Event]) -> None:
    rows = rows_of(events)
    victim = next(row for row in rows if row.user_sequence == 1 and has_later_row(rows, row))
    left = [row for row in rows if row is not victim]
    wrong = replace(victim, features={})
    report = audit(left, labels=labels_of(events), transactions=listed(left), refused=[wrong])
    assert report.is_clean, report
    assert (report.rows, report.repeats) == (len(left), 0)
    # After a failure the job has read it again, and its topic accepts more or less than before.
    transactions = listed(left, ends=listed(rows).ends)
    report = audit(rows, labels=labels_of(events), transactions=transactions, refused=[wrong])
    assert report.is_clean, report
    assert (report.rows, report.repeats) == (len(rows), 0)


def has_later_row(rows: list[FeatureRow], row: FeatureRow) -> bool:
    user_id = row.transaction.user_id
    return any(r.transaction.user_id == user_id and r.user_sequence == 2 for r in rows)


def test_a_row_of_no_transaction_is_extra(events: list[Event]) -> None:
    rows = rows_of(events)
    transactions = listed(rows[:-1], ends=listed(rows).ends)
    report = audit(rows, labels=labels_of(events), transactions=transactions)
    assert (report.missing, report.extra) == (0, 1)
    assert not report.is_clean


def test_a_row_of_a_transaction_that_came_after_the_listing_is_compared_and_not_extra(
    events: list[Event],
) -> None:
    rows = rows_of(events)
    report = audit(rows, labels=labels_of(events), transactions=listed(rows[:-1]))
    assert report.rows == len(rows)
    assert report.is_clean


def test_a_listed_transaction_is_unanswered_until_its_row_comes(events: list[Event]) -> None:
    rows = rows_of(events)
    under_way = FeatureLogAudit(transactions=listed(rows))
    for at, row in enumerate(rows[:-2]):
        under_way.take(row, partition=0, offset=at)
    assert under_way.unanswered == 2
    for at, row in enumerate(rows[-2:], start=len(rows) - 2):
        under_way.take(row, partition=0, offset=at)
    assert under_way.unanswered == 0


def test_a_label_that_reached_kafka_after_the_row_is_a_late_label_and_no_mismatch(
    events: list[Event],
) -> None:
    without_labels = rows_of([event for event in events if event.is_transaction])
    late = audit(without_labels, labels=labels_of(events, timestamp_ms=5_000_000_000_000))
    assert late.late_labels > 0
    assert late.mismatched == 0
    in_time = audit(without_labels, labels=labels_of(events))
    assert (in_time.late_labels, in_time.mismatched) == (0, late.late_labels)


def test_only_the_rows_asked_for_are_compared_but_all_are_folded(events: list[Event]) -> None:
    rows = rows_of(events)
    chosen = {row.transaction.transaction_id for row in rows[-100:]}
    report = audit(
        rows,
        labels=labels_of(events),
        is_compared=lambda row: row.transaction.transaction_id in chosen,
    )
    assert (report.rows, report.checked) == (100, 100 * FEATURES_PER_ROW)
    assert report.is_clean


def test_rows_of_other_definitions_are_refused_with_both_digests(events: list[Event]) -> None:
    row = replace(rows_of(events[:5])[0], definition_digest="0123456789abcdef")
    with pytest.raises(OtherDefinitionsError, match="0123456789abcdef"):
        audit([row], labels=[])


def test_a_row_of_another_transaction_than_its_record_is_a_mismatch(events: list[Event]) -> None:
    rows = rows_of(events)
    transactions = listed(rows)
    origin = rows[7].origin
    transactions.fingerprints[origin.partition, origin.offset] += 1
    report = audit(rows, labels=labels_of(events), transactions=transactions)
    assert report.mismatched == 1
    assert report.differences[0].transaction_id == rows[7].transaction.transaction_id


def test_rows_of_other_definitions_are_compared_in_what_both_have_once_they_are_backfilled(
    events: list[Event],
) -> None:
    def old(row: FeatureRow) -> FeatureRow:
        features = {**row.features, "of_those_days": 1}
        del features["user_amount_sum_7d"], features["merchant_fraud_rate_1d_delay_7d"]
        return replace(row, features=features, definition_digest="of-last-year")

    whole = rows_of(events)
    rows = [*map(old, whole[:40]), *whole[40:]]
    recomputed = Recomputed()
    report = audit(rows, labels=labels_of(events), recomputed=recomputed, is_backfilled=True)
    assert report.is_clean
    assert report.checked == len(rows) * FEATURES_PER_ROW - 40 * 2
    positions = [recomputed.position(row.transaction.transaction_id) for row in whole]
    assert recomputed.old == set(positions[:40])
    for row, position in zip(whole, positions, strict=True):
        assert recomputed.features(position) == row.features
    wrong = replace(rows[3], features={**rows[3].features, "user_amount_sum_1h": -1})
    report = audit([*rows[:3], wrong, *rows[4:]], labels=labels_of(events), is_backfilled=True)
    assert report.mismatched == 1
