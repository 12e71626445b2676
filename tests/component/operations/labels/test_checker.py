"""The label checker on an archive in a directory: what it corrects, waits for and records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from clients.log_record import Record
from clients.topic_description import LogIdentity
from operations.labels import checker as checker_module
from operations.labels.checker import LOOK_FOR_S, LabelChecker
from operations.labels.recorded import count_corrections
from operations.labels.send import LabelsTopic, OutgoingLabel, Place
from schemas.codec import encode_label
from schemas.label import Label
from schemas.output_codec import encode_feature_row
from schemas.settings import Settings
from schemas.topics import FEATURES, LABELS
from tests.archives import append_values
from tests.builders import LABEL, LIMITS, NOW_MS, transaction
from tests.scoring_fakes import feature_row
from training.archive.columns import to_batches
from training.archive.store import ArchiveTable
from training.archive.tables import LABEL_CORRECTIONS
from training.errors import NoArchiveError

DAY_MS = 86_400_000


class SentLabels(LabelsTopic):
    """Keeps what is sent; the topic has one partition."""

    def __init__(self) -> None:
        self.sent: list[OutgoingLabel] = []
        self.is_down = False

    def partitions(self) -> list[int]:
        return [0]

    def send(self, labels: Sequence[OutgoingLabel], *, now_ms: int) -> list[Place]:
        if self.is_down:
            raise ConnectionError("the broker is down, says the test")
        self.sent += labels
        return [Place(0, at) for at, _ in enumerate(labels)]


class Bench:
    """An archive, a topic and a clock."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.topic = SentLabels()
        self.now_s = 0.0
        self.labels = self.rows = 0

    def checker(self) -> LabelChecker:
        settings = Settings(archive_url=self.url, label_check_s=1)
        return LabelChecker(
            settings, topic=self.topic, clock_s=lambda: self.now_s, now_ms=lambda: NOW_MS
        )

    def archive_labels(self, *labels: Label) -> None:
        append_values(self.url, LABELS, [encode_label(one) for one in labels], start=self.labels)
        self.labels += len(labels)

    def archive_rows(self, *ids_and_merchants: tuple[str, str], after_ms: int = 0) -> None:
        values = [
            encode_feature_row(
                replace(
                    feature_row(),
                    transaction=transaction(
                        transaction_id=transaction_id,
                        merchant_id=merchant_id,
                        event_time_ms=LABEL.event_time_ms + after_ms,
                    ),
                )
            )
            for transaction_id, merchant_id in ids_and_merchants
        ]
        append_values(self.url, FEATURES, values, start=self.rows)
        self.rows += len(values)

    def sent(self) -> list[tuple[str, str]]:
        return [(one.label.transaction_id, one.label.merchant_id) for one in self.topic.sent]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(str(tmp_path))


def check(checker: LabelChecker) -> None:
    while checker.step():
        pass


def label(transaction_id: str, merchant_id: str, **changes: int) -> Label:
    return replace(LABEL, transaction_id=transaction_id, merchant_id=merchant_id, **changes)


def test_a_label_with_the_wrong_merchant_is_corrected_and_recorded(bench: Bench) -> None:
    bench.archive_rows(("t-1", "m-1"), ("t-2", "m-1"))
    bench.archive_labels(label("t-2", "m-1"), label("t-1", "m-2"))
    check(bench.checker())
    (sent,) = bench.topic.sent
    assert sent.label == label("t-1", "m-1")
    assert sent.headers == (("weir-corrects", b"labels-0@1"),)
    assert sent.source == "/weir/label-checker"
    assert count_corrections(bench.url) == 1
    (row,) = ArchiveTable(bench.url, LABEL_CORRECTIONS).dataset().to_table().to_pylist()
    assert (row["merchant_id"], row["reported_merchant_id"]) == ("m-1", "m-2")
    assert (row["log_partition"], row["log_offset"]) == (0, 1)
    assert row["corrected_at_ms"] == NOW_MS


def test_a_label_of_an_id_that_was_used_again_is_judged_by_the_first_row_and_all_others(
    bench: Bench,
) -> None:
    later_ms = 29 * DAY_MS
    bench.archive_rows(("t-1", "m-1"), ("t-2", "m-1"))
    bench.archive_rows(("t-1", "m-2"), ("t-2", "m-2"), after_ms=later_ms)
    at = {"event_time_ms": LABEL.event_time_ms + later_ms}
    at["observed_time_ms"] = at["event_time_ms"]
    bench.archive_labels(label("t-1", "m-1", **at), label("t-2", "m-3", **at))
    check(bench.checker())
    (sent,) = bench.topic.sent
    assert sent.label == label("t-2", "m-1", observed_time_ms=at["observed_time_ms"])


def test_a_checker_goes_on_where_the_last_one_stopped(bench: Bench) -> None:
    bench.archive_rows(("t-1", "m-1"), ("t-2", "m-1"))
    bench.archive_labels(label("t-1", "m-2"))
    check(bench.checker())
    bench.archive_labels(label("t-2", "m-9"))
    check(bench.checker())
    check(bench.checker())
    assert bench.sent() == [("t-1", "m-1"), ("t-2", "m-1")]


def test_an_archive_that_was_rebuilt_from_another_log_is_checked_from_its_beginning(
    bench: Bench,
) -> None:
    labels = ArchiveTable(bench.url, LABELS)
    labels.open_or_create()
    labels.follow(LogIdentity("cluster", "topic"))
    bench.archive_rows(("t-1", "m-1"), ("t-2", "m-1"))
    bench.archive_labels(label("t-1", "m-2"))
    check(bench.checker())
    labels.open_or_create()
    labels.follow(LogIdentity("cluster", "another topic"))
    other = labels.beside("rebuild-x")
    other.open_or_create()
    reported = (label("t-2", "m-2"), label("t-1", "m-1"))
    records = [Record(0, at, NOW_MS, encode_label(one)) for at, one in enumerate(reported)]
    other.append(to_batches(LABELS, records, limits=LIMITS), next_offsets={0: len(reported)})
    labels.replace_by(other, partitions=[0])
    for _ in range(2):
        check(bench.checker())
        assert bench.sent() == [("t-1", "m-1"), ("t-2", "m-1")]


def test_a_correction_in_the_log_is_right_and_is_not_sent_again(bench: Bench) -> None:
    bench.archive_rows(("t-1", "m-1"))
    bench.archive_labels(label("t-1", "m-2"), label("t-1", "m-1"))
    check(bench.checker())
    assert bench.sent() == []


def test_a_label_before_its_transaction_is_checked_when_that_is_archived(bench: Bench) -> None:
    bench.archive_rows(("other", "m-1"))
    bench.archive_labels(label("t-1", "m-2"), label("t-2", "m-1"))
    checker = bench.checker()
    check(checker)
    assert bench.sent() == []
    bench.archive_rows(("t-1", "m-1"), ("t-2", "m-1"))
    check(checker)
    assert bench.sent() == []
    bench.now_s += 10
    check(checker)
    assert bench.sent() == [("t-1", "m-1")]


def test_a_label_that_waits_is_checked_by_the_next_checker(bench: Bench) -> None:
    bench.archive_rows(("t-2", "m-1"))
    bench.archive_labels(label("t-1", "m-2"), label("t-2", "m-2"))
    check(bench.checker())
    assert bench.sent() == [("t-2", "m-1")]
    bench.archive_rows(("t-1", "m-1"))
    check(bench.checker())
    assert ("t-1", "m-1") in bench.sent()


@pytest.mark.parametrize(("days", "is_found"), [(-1, True), (1, True), (2, False)])
def test_a_label_with_another_time_is_looked_for_on_the_days_around(
    bench: Bench, days: int, *, is_found: bool
) -> None:
    bench.archive_rows(("t-1", "m-1"), after_ms=-days * DAY_MS)
    bench.archive_labels(label("t-1", "m-2"))
    checker = bench.checker()
    check(checker)
    bench.now_s += 10
    check(checker)
    assert bool(bench.sent()) is is_found


def test_a_transaction_that_never_comes_is_given_up_after_a_day(bench: Bench) -> None:
    bench.archive_rows(("other", "m-1"))
    bench.archive_labels(label("t-1", "m-2"))
    checker = bench.checker()
    while bench.now_s <= LOOK_FOR_S:
        check(checker)
        bench.now_s += 3_600
    check(checker)
    bench.archive_rows(("t-1", "m-1"))
    bench.now_s += 3_600
    check(checker)
    check(bench.checker())
    assert bench.sent() == []


def test_nothing_is_recorded_if_the_broker_is_down(bench: Bench) -> None:
    bench.archive_rows(("t-1", "m-1"))
    bench.archive_labels(label("t-1", "m-2"))
    bench.topic.is_down = True
    with pytest.raises(ConnectionError):
        check(bench.checker())
    assert count_corrections(bench.url) == 0
    bench.topic.is_down = False
    check(bench.checker())
    assert bench.sent() == [("t-1", "m-1")]


def test_too_many_waiting_labels_give_up_the_longest_known(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker_module, "PENDING_MAX", 3)
    bench.archive_rows(("t-0", "m-1"))
    bench.archive_labels(*(label(f"unknown-{n}", "m-2") for n in range(3)))
    checker = bench.checker()
    check(checker)
    bench.archive_labels(label("t-0", "m-2"))
    check(checker)
    assert bench.sent() == [("t-0", "m-1")]


def test_without_an_archive_there_is_nothing_to_check(bench: Bench) -> None:
    with pytest.raises(NoArchiveError):
        bench.checker().step()
    assert count_corrections(bench.url) == 0
