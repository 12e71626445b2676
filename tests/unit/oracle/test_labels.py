"""The labels of one transaction, and of one merchant."""

from __future__ import annotations

import pytest

from features.definitions import DAY_MS
from tests.oracle.labels import FraudLabels, Labelled
from tests.oracle.windows import BEFORE_ALL_MS, Span
from tests.unit.features.engine.streams_of_events import START

SPANS = (Span(DAY_MS, 7 * DAY_MS),)


#        false(10)        true(20)
#   -----|----------------|--------->
@pytest.mark.parametrize(
    ("as_of", "is_fraud"), [(9, False), (10, False), (19, False), (20, True), (21, True)]
)
def test_a_transaction_is_fraud_when_the_latest_label_until_then_says_so(
    as_of: int, *, is_fraud: bool
) -> None:
    entry = Labelled(0)
    assert entry.add(20, is_fraud=True)
    assert entry.add(10, is_fraud=False)
    assert entry.is_fraud(as_of) == is_fraud


def test_an_identical_label_is_there_already_even_behind_a_contradiction() -> None:
    entry = Labelled(0)
    assert entry.add(10, is_fraud=True)
    assert entry.add(10, is_fraud=False)
    assert not entry.add(10, is_fraud=True)
    assert not entry.is_fraud(10)


def add(labels: FraudLabels, newest: int, observed: int, *, is_fraud: bool = True) -> bool:
    return labels.add(
        "tx", observed_ms=observed, is_fraud=is_fraud, time_ms=START, newest_ms=newest
    )


def count(labels: FraudLabels, newest: int) -> int:
    return labels.frauds.read(START + 7 * DAY_MS, newest_ms=newest)[0][0]


def test_a_label_of_the_future_waits_until_the_newest_event_gets_there() -> None:
    labels = FraudLabels(SPANS)
    add(labels, START, START + 10)
    assert count(labels, START) == 0
    assert list(labels.corrections(START + 10, newest_ms=START)) == [(START, 1)]
    assert list(labels.corrections(START + 9, newest_ms=START)) == []
    labels.advance(START, START + 9)
    assert count(labels, START + 9) == 0
    labels.advance(START + 9, START + 10)
    assert count(labels, START + 10) == 1
    assert list(labels.corrections(START + 9, newest_ms=START + 10)) == [(START, -1)]


def test_contradicting_labels_passed_in_one_step_count_once() -> None:
    labels = FraudLabels(SPANS)
    for at, is_fraud in ((10, True), (20, False), (30, True)):
        add(labels, START, START + at, is_fraud=is_fraud)
    labels.advance(START, START + 100)
    assert count(labels, START + 100) == 1
    assert list(labels.corrections(START + 25, newest_ms=START + 100)) == [(START, -1)]
    assert list(labels.corrections(START + 15, newest_ms=START + 100)) == []


def test_labels_can_come_before_any_transaction() -> None:
    labels = FraudLabels(SPANS)
    assert labels.add("tx", observed_ms=START, is_fraud=True, time_ms=None, newest_ms=BEFORE_ALL_MS)
    labels.advance(BEFORE_ALL_MS, START)
    labels.join("tx", time_ms=START, newest_ms=START)
    assert count(labels, START) == 1


def test_observations_that_no_read_can_pass_any_more_are_dropped() -> None:
    labels = FraudLabels(SPANS)
    newest = START
    for n in range(300):
        labels.add(f"tx-{n}", observed_ms=newest, is_fraud=True, time_ms=newest, newest_ms=newest)
        labels.advance(newest, newest + DAY_MS // 4)
        newest += DAY_MS // 4
    # Those of a day that a late read may pass; twice that before they are swept.
    labels.add("now", observed_ms=newest + 1, is_fraud=True, time_ms=newest, newest_ms=newest)
    labels.advance(newest, newest + 1)
    assert len(labels._observations) <= 10
