"""The labels that wait for their decisions: what is known when, what is forgotten, what is read."""

from __future__ import annotations

from operations.rollouts.controller.label_book import LabelBook
from operations.rollouts.losses import FRAUD, NO_LABEL, NOT_FRAUD

DAY_MS = 86_400_000


def book(**changes: int) -> LabelBook:
    return LabelBook(**{"maturity_ms": 30 * DAY_MS, "labels_max": 1_000, **changes})


def add(
    to: LabelBook, transaction: int, known_ms: int, *, is_fraud: bool = True, **more: int
) -> None:
    observed_ms = more.pop("observed_ms", known_ms)
    place = {"partition": 0, "offset": known_ms, **more}
    to.add(transaction, known_ms=known_ms, observed_ms=observed_ms, is_fraud=is_fraud, **place)


def test_a_label_is_known_from_its_time_on() -> None:
    labels = book()
    add(labels, 7, 1_000)
    assert labels.at(7, deadline_ms=999) == NO_LABEL
    assert labels.at(7, deadline_ms=1_000) == FRAUD
    assert labels.at(8, deadline_ms=1_000) == NO_LABEL


def test_of_the_labels_known_at_maturity_the_latest_observation_counts() -> None:
    labels = book()
    add(labels, 7, 1_000, observed_ms=900)
    add(labels, 7, 2_000, is_fraud=False, observed_ms=1_900)
    add(labels, 7, 3_000, observed_ms=100)
    assert labels.at(7, deadline_ms=1_999) == FRAUD
    assert labels.at(7, deadline_ms=2_000) == NOT_FRAUD
    assert labels.at(7, deadline_ms=9_000) == NOT_FRAUD


def test_labels_are_forgotten_once_their_decisions_are_counted() -> None:
    labels = book()
    for day in range(40):
        add(labels, day, day * DAY_MS, offset=day)
    assert len(labels) == 40
    labels.forget(before_ms=10 * DAY_MS)
    assert len(labels) == 30
    assert labels.at(9, deadline_ms=10**15) == NO_LABEL
    assert labels.at(10, deadline_ms=10**15) == FRAUD
    assert labels.first_needed({0: 40}) == {0: 10}


def test_a_later_label_of_the_same_transaction_is_kept() -> None:
    labels = book()
    add(labels, 7, 0)
    add(labels, 7, 5 * DAY_MS, is_fraud=False)
    labels.forget(before_ms=DAY_MS)
    assert labels.at(7, deadline_ms=10**15) == NOT_FRAUD
    assert len(labels) == 1


def test_a_new_book_is_read_from_the_oldest_label_that_is_needed_of_each_partition() -> None:
    labels = book()
    add(labels, 1, 0, partition=0, offset=10)
    add(labels, 2, 1, partition=1, offset=20)
    add(labels, 3, 3 * DAY_MS, partition=0, offset=11)
    assert labels.first_needed({0: 12, 1: 21, 2: 5}) == {0: 10, 1: 20, 2: 5}
    labels.forget(before_ms=DAY_MS)
    assert labels.first_needed({0: 12, 1: 21, 2: 5}) == {0: 11, 1: 21, 2: 5}


def test_beyond_the_limit_nothing_can_be_trusted() -> None:
    labels = book(labels_max=2)
    for number in range(2):
        add(labels, number, number)
    assert not labels.is_full
    add(labels, 3, 3)
    assert labels.is_full
    assert len(labels) == 2
