"""What the two stages do with records, without Flink: rows, dead letters, crashes."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from schemas import topics
from streams.velocity.merchant_stage import MerchantStage
from streams.velocity.record_frame import InboundRecord
from streams.velocity.user_stage import UserStage
from tests.builders import LIMITS, NOW_MS, label_object, transaction_object, wire
from tests.unit.streams.velocity.test_journal import MemoryStore
from tests.unit.streams.velocity.test_record_frame import framed

CRASH = "crash"
DAY_MS = 86_400_000


class Job:
    """Both stages and their durable state."""

    def __init__(self) -> None:
        self.journals: dict[tuple[str, str], MemoryStore] = defaultdict(MemoryStore)
        self.produced: list[InboundRecord] = []
        self._offset = 0
        self._start()

    def _start(self) -> None:
        parts: Any = {"limits": LIMITS, "live_keys_max": 3, "clock_ms": lambda: NOW_MS}
        self.user = UserStage(**parts, sink=None)
        self.merchant = MerchantStage(**parts, sink=None)

    def crash(self) -> None:
        """Lose everything but the journals."""
        self._start()

    def feed(
        self,
        value: bytes | None,
        *,
        topic: str = topics.TRANSACTIONS,
        key: str = "",
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Send one record through both stages, as ``streams/velocity/job.py`` wires them."""
        frame = framed(
            topic=topic.encode(),
            partition=1,
            offset=self._offset,
            timestamp_ms=NOW_MS,
            key=None,
            value=value,
            headers=headers,
        )
        self._offset += 1
        if topic == topics.LABELS:
            self._to_merchant(key, frame)
            return
        out = self.user.process(frame, self.journals["user", key])
        rest_at = 2 + int.from_bytes(out[:2], "big")
        self._to_merchant(out[2:rest_at].decode(), out[rest_at:])

    def _to_merchant(self, key: str, frame: bytes) -> None:
        out = self.merchant.process(frame, self.journals["merchant", key])
        if out is not None:
            self.produced.append(InboundRecord.parse(out))

    def transaction(self, **changes: Any) -> dict[str, Any]:
        """Feed a transaction; returns its feature row."""
        obj = transaction_object(**changes)
        self.feed(wire(obj), key=obj["user_id"])
        return self.last_row()

    def label(self, **changes: Any) -> None:
        """Feed a label."""
        obj = label_object(**changes)
        self.feed(wire(obj), topic=topics.LABELS, key=obj["merchant_id"])

    def last_row(self) -> dict[str, Any]:
        """The feature row produced last."""
        assert self.produced[-1].topic == topics.FEATURES.encode()
        row: dict[str, Any] = orjson.loads(self.produced[-1].value or b"")
        return row


def test_a_transaction_becomes_one_row_keyed_by_its_user_with_every_feature() -> None:
    job = Job()
    row = job.transaction(user_id="ü😀", merchant_id="é😀")
    assert [record.topic for record in job.produced] == [topics.FEATURES.encode()]
    record = job.produced[0]
    assert record.key == "ü😀".encode()
    assert row["transaction"] == transaction_object(user_id="ü😀", merchant_id="é😀")
    assert list(row["features"]) == list(FEATURE_NAMES)
    assert row["features"]["user_transaction_count_5m"] == 1
    assert row["definition_digest"] == DEFINITION_DIGEST
    assert row["origin"] == {"partition": 1, "offset": 0, "timestamp_ms": NOW_MS}
    assert (row["repeat"], row["user_sequence"], row["merchant_sequence"]) == (False, 1, 1)


def test_a_row_has_cloudevents_headers_with_type_and_transaction_id() -> None:
    job = Job()
    job.transaction(transaction_id="t-9")
    headers = dict(job.produced[0].headers)
    assert headers["ce_type"] == b"weir.feature-row.v1"
    assert headers["ce_id"] == b"t-9"
    assert "weir-replay" not in headers


def test_a_replay_may_be_ahead_of_the_clock_and_its_row_is_marked_as_replay() -> None:
    job = Job()
    body = wire(transaction_object(event_time_ms=NOW_MS + DAY_MS))
    job.feed(body, key="u-1", headers=[topics.REPLAY_HEADER])
    assert dict(job.produced[-1].headers)["weir-replay"] == b"1"
    job.feed(body, key="u-1")
    assert job.produced[-1].topic == topics.DEAD_LETTERS.encode()


def test_a_second_delivery_is_counted_once_by_user_and_by_merchant() -> None:
    job = Job()
    job.transaction(transaction_id="t-1")
    repeat = job.transaction(transaction_id="t-1", amount_minor=7)
    assert repeat["repeat"]
    assert (repeat["user_sequence"], repeat["merchant_sequence"]) == (1, 1)
    after = job.transaction(transaction_id="t-2")
    assert after["features"]["user_transaction_count_5m"] == 2
    assert (after["user_sequence"], after["merchant_sequence"]) == (2, 2)


def test_fraud_counts_once_its_label_was_observed_and_its_delay_has_passed() -> None:
    job = Job()
    # The transaction is at -7 d, its label was observed at -5 d. The window as of now is
    # (now - 7 d - 1 d, now - 7 d]: closed on the right, so it contains the transaction.
    job.transaction(transaction_id="old", event_time_ms=NOW_MS - 7 * DAY_MS)
    job.label(
        transaction_id="old",
        event_time_ms=NOW_MS - 7 * DAY_MS,
        observed_time_ms=NOW_MS - 5 * DAY_MS,
    )
    features = job.transaction(transaction_id="new", user_id="u-2")["features"]
    assert features["merchant_transaction_count_1d_delay_7d"] == 1
    assert features["merchant_fraud_rate_1d_delay_7d"] == 1.0


@pytest.mark.parametrize("topic", [topics.TRANSACTIONS, topics.LABELS])
@pytest.mark.parametrize("value", [None, b"\x00\xff", b"{", b'{"user_id":1}'])
def test_bad_input_becomes_an_unchanged_dead_letter_and_the_next_event_is_processed(
    topic: str, value: bytes | None
) -> None:
    job = Job()
    job.feed(value, topic=topic, headers=[("trace", b"\x01")])
    letter = job.produced[-1]
    assert letter.topic == topics.DEAD_LETTERS.encode()
    assert letter.value == value
    headers = dict(letter.headers)
    assert headers["trace"] == b"\x01"
    assert headers["__connect.errors.topic"] == topic.encode()
    assert headers["__connect.errors.stage"] == b"decode"
    assert job.transaction()["features"]["user_transaction_count_5m"] == 1


def test_a_record_of_another_weir_type_is_refused_although_its_body_is_valid() -> None:
    job = Job()
    job.feed(wire(transaction_object()), headers=[("ce_type", b"weir.label.v1")])
    assert job.produced[-1].topic == topics.DEAD_LETTERS.encode()


def test_crashes_at_any_point_change_no_row() -> None:
    seed = random.randrange(2**32)
    print(f"seed={seed}")
    rng = random.Random(seed)
    story: list[Any] = []
    for number in range(400):
        when_ms = NOW_MS - rng.randrange(40 * DAY_MS)
        event = transaction_object(
            transaction_id=f"t-{rng.randrange(350)}",
            user_id=f"u-{rng.randrange(5)}",
            merchant_id=f"m-{rng.randrange(5)}",
            amount_minor=number,
            event_time_ms=when_ms,
        )
        story.append(event)
        if rng.random() < 0.1:
            story.append(CRASH)

    def rows(*, with_crashes: bool) -> list[dict[str, Any]]:
        job, found = Job(), []
        for step in story:
            if step != CRASH:
                found.append(job.transaction(**step))
            elif with_crashes:
                job.crash()
        return found

    assert rows(with_crashes=True) == rows(with_crashes=False)
