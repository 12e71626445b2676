"""The main job, on the real broker, Flink, Redis, MLflow, scorer and API."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import orjson
import pytest
from kafka import KafkaProducer

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from features.engine.state import MerchantState, UserState
from features.on_demand import on_demand_features
from infra.local.doctor import thread_mode
from schemas import topics
from tests.services import Services
from tests.topic_tail import Tail, by_transaction, tail
from tests.traffic import Traffic, live_transaction, now_ms

ANSWER_MS_MAX = 60_000


@pytest.fixture
def prefix() -> str:
    """An id prefix of this test's own."""
    return uuid.uuid4().hex[:8]


@pytest.fixture
def producer(weir_stack: Services) -> Iterator[KafkaProducer]:
    """kafka-python, as a user would use it."""
    client = KafkaProducer(bootstrap_servers=weir_stack.kafka_bootstrap)
    yield client
    client.close()


def send(producer: KafkaProducer, event: dict[str, Any], **changes: Any) -> None:
    """Send one transaction the way docs/producers.md says."""
    producer.send(
        topics.TRANSACTIONS, key=event["user_id"].encode(), value=orjson.dumps(event), **changes
    )


def call(services: Services, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ask the API; the answer of an error is its body, too."""
    settings = services.settings
    url = f"http://{settings.api_host}:{settings.api_port}{path}"
    reply = httpx.get(url) if body is None else httpx.post(url, json=body)
    answer: dict[str, Any] = reply.json()
    return answer


def eventually(claim: Callable[[], bool], *, within_ms: int) -> None:
    """Wait until ``claim`` holds."""
    deadline_s = time.monotonic() + within_ms / 1_000
    while not claim():
        assert time.monotonic() < deadline_s, f"not within {within_ms} ms"
        time.sleep(0.1)


def seen(topic: Tail, ids: set[str]) -> dict[str, list[tuple[Any, dict[str, Any]]]]:
    """Wait for a record of each transaction id."""
    topic.until(lambda _: len(by_transaction(topic, ids)) == len(ids), within_ms=ANSWER_MS_MAX)
    return by_transaction(topic, ids)


def test_every_transaction_gets_one_decision_from_the_features_of_its_own_row(
    weir_stack: Services, producer: KafkaProducer, prefix: str
) -> None:
    bootstrap = weir_stack.kafka_bootstrap
    events = [live_transaction(prefix, number) for number in range(300)]
    with tail(bootstrap, topics.FEATURES) as rows, tail(bootstrap, topics.DECISIONS) as decisions:
        for event in events:
            send(producer, event)
        producer.flush()
        ids = {event["transaction_id"] for event in events}
        found = seen(decisions, ids)
        row_of = seen(rows, ids)
    users: dict[str, UserState] = {}
    for event in events:
        (record, row), *repeated_rows = row_of[event["transaction_id"]]
        (_, decision), *repeated_decisions = found[event["transaction_id"]]
        assert (repeated_rows, repeated_decisions) == ([], [])
        assert row["transaction"] == event
        assert list(row["features"]) == list(FEATURE_NAMES)
        expected = users.setdefault(event["user_id"], UserState()).fold(
            transaction_id=event["transaction_id"],
            merchant_id=event["merchant_id"],
            amount_minor=event["amount_minor"],
            event_time_ms=event["event_time_ms"],
        )
        merchant = MerchantState().fold_transaction(
            transaction_id=event["transaction_id"],
            event_time_ms=event["event_time_ms"],
            is_repeat=False,
        )
        on_demand = on_demand_features(event["event_time_ms"])
        assert row["features"] == {**expected.features, **merchant.features, **on_demand}
        assert decision["features"] == row["features"]
        assert decision["definition_digest"] == row["definition_digest"] == DEFINITION_DIGEST
        assert decision["features_offset"] == {
            "partition": record.partition,
            "offset": record.offset,
        }
        assert record.key == event["user_id"].encode()
        assert topics.read_header(record.headers, "ce_type") == b"weir.feature-row.v1"


ODD_KEYS_AND_VALUES = [
    (b"k", b"\x00\x01\xff"),
    (b"tombstone", None),
    (b"\xff\xfe", b"not json"),
    (None, b'{"user_id":"\\ud800"}'),
    (None, b'{"user_id":"nul\\u0000"}'),
    (b"", b"\xef\xbb\xbf{}"),
    (b"deep", b"[" * 100_000),
    (b"twice", b'{"user_id":"a","user_id":"b"}'),
    (b"large", b"x" * 1_000_000),
]


def test_bad_input_is_a_dead_letter_byte_for_byte_and_the_job_goes_on(
    weir_stack: Services, producer: KafkaProducer, prefix: str
) -> None:
    bootstrap = weir_stack.kafka_bootstrap
    trace = [("trace", b"\x00\xff"), ("run", prefix.encode())]
    odd = [(topic, *pair) for topic in (topics.TRANSACTIONS, topics.LABELS)
           for pair in ODD_KEYS_AND_VALUES]  # fmt: skip
    with (
        tail(bootstrap, topics.DEAD_LETTERS) as dead_letters,
        tail(bootstrap, topics.DECISIONS) as decisions,
    ):
        sent = {}
        for topic, key, value in odd:
            place = producer.send(topic, key=key, value=value, headers=trace).get(10)
            sent[topic, place.partition, place.offset] = (key, value)
        wrong = {
            "amount_minor": 1.5,
            "currency": "USD",
            "event_time_ms": now_ms() + 3_600_000,
            "ip_country": "Germany",
        }
        for field, value in wrong.items():
            event = {**live_transaction(prefix, 0), field: value}
            body = orjson.dumps(event)
            place = producer.send(topics.TRANSACTIONS, key=b"u", value=body, headers=trace).get(10)
            sent[topics.TRANSACTIONS, place.partition, place.offset] = (b"u", body)
        good = live_transaction(prefix, 1, user_id=f"ü😀-{prefix}", merchant_id=f"é😀-{prefix}")
        send(producer, good)
        found = seen(decisions, {good["transaction_id"]})
        dead_letters.until(lambda records: len(records) >= len(sent), within_ms=ANSWER_MS_MAX)
    assert found[good["transaction_id"]][0][1]["user_id"] == good["user_id"]
    letters = {}
    for record in dead_letters.records:
        header = dict(record.headers)
        origin = (
            header["__connect.errors.topic"].decode(),
            int(header["__connect.errors.partition"]),
            int(header["__connect.errors.offset"]),
        )
        letters[origin] = record
        assert header["trace"] == b"\x00\xff"
        assert header["__connect.errors.exception.message"]
    assert {origin: (record.key, record.value) for origin, record in letters.items()} == sent


FAR_MS = 253_402_300_799_000
"""A time in the year 9999."""
DAY_MS = 86_400_000


def test_a_replayed_event_of_the_year_9999_leaves_user_and_merchant_exact(
    weir_stack: Services, producer: KafkaProducer, prefix: str
) -> None:
    bootstrap = weir_stack.kafka_bootstrap
    replay = [("weir-replay", b"1")]
    same = {"user_id": f"{prefix}-u", "merchant_id": f"{prefix}-m"}
    # Up to a day ahead is accepted, and what follows is still exact.
    times_ms = [now_ms() - 8 * DAY_MS, now_ms() - 1_000, FAR_MS, now_ms() + DAY_MS - 60_000]
    with (
        tail(bootstrap, topics.FEATURES) as rows,
        tail(bootstrap, topics.DEAD_LETTERS) as dead_letters,
    ):
        for number, time_ms in enumerate(times_ms):
            event = live_transaction(prefix, number, **same, event_time_ms=time_ms)
            send(producer, event, headers=replay)
        after = live_transaction(prefix, 4, **same)
        send(producer, after)
        found = seen(rows, {f"{prefix}-{number}" for number in (0, 1, 3, 4)})
        dead_letters.until(lambda records: len(records) >= 1, within_ms=ANSWER_MS_MAX)
    (letter,) = dead_letters.records
    assert orjson.loads(letter.value)["transaction_id"] == f"{prefix}-2"
    reason = dict(letter.headers)["__connect.errors.exception.message"].decode()
    assert "ahead of Kafka's timestamp of its record" in reason
    assert "limit replay_ahead_ms_max=86400000" in reason
    row = found[after["transaction_id"]][0][1]
    assert row["approximate"] == []
    assert row["features"]["user_transaction_count_5m"] == 2
    assert row["features"]["merchant_transaction_count_30d_delay_7d"] == 1


def test_an_event_counts_for_its_own_user_whatever_stands_before_the_users_name(
    weir_stack: Services, producer: KafkaProducer, prefix: str
) -> None:
    bootstrap = weir_stack.kafka_bootstrap
    users = ["alice", "alice", "bob", "alice", "bob"]
    ids = {f"{prefix}-{number}" for number in range(len(users))}
    with tail(bootstrap, topics.FEATURES) as rows, Traffic(bootstrap, rate=50, users=5) as others:
        for number, user in enumerate(users):
            event = live_transaction(
                prefix, number, user_id=f"{prefix}-{user}", amount_minor=10**number
            )
            # An unknown field with more digits than one of two parsers once read.
            note = b'"note":' + b"1" * 1_500 + b"," if number in (1, 2) else b""
            # One key, so one partition and one order; the user is the one in the body.
            body = b"{" + note + orjson.dumps(event)[1:]
            producer.send(topics.TRANSACTIONS, key=b"k", value=body)
        found = seen(rows, ids)
        of_others = set(others.sent)
        assert seen(rows, of_others).keys() == of_others
    sums = {
        transaction_id: of_id[0][1]["features"]["user_amount_sum_1h"]
        for transaction_id, of_id in found.items()
    }
    assert [sums[f"{prefix}-{number}"] for number in range(5)] == [1, 11, 100, 1_011, 10_100]


def test_a_second_delivery_gets_the_first_decision_whatever_it_says(
    weir_stack: Services, producer: KafkaProducer, prefix: str
) -> None:
    first = live_transaction(prefix, 0, user_id=f"{prefix}-u")
    again = {**first, "amount_minor": 999_999}
    after = live_transaction(prefix, 1, user_id=f"{prefix}-u")
    with tail(weir_stack.kafka_bootstrap, topics.DECISIONS) as decisions:
        for event in (first, again, after):
            send(producer, event)
        ids = {first["transaction_id"], after["transaction_id"]}
        seen(decisions, ids)
        decisions.until(
            lambda _: len(by_transaction(decisions, ids)[first["transaction_id"]]) == 2,
            within_ms=ANSWER_MS_MAX,
        )
        found = by_transaction(decisions, ids)
    (_, one), (_, two) = found[first["transaction_id"]]
    for name in ("decision", "score", "model", "features", "vector_digest", "features_offset"):
        assert one[name] == two[name]
    counted = found[after["transaction_id"]][0][1]["features"]
    assert counted["user_transaction_count_5m"] == 2


def test_a_predicted_vector_is_the_one_the_stream_then_computes(
    weir_stack: Services, producer: KafkaProducer, prefix: str
) -> None:
    user_id = f"{prefix}-u"
    with tail(weir_stack.kafka_bootstrap, topics.DECISIONS) as decisions:
        past = [live_transaction(prefix, number, user_id=user_id) for number in range(5)]
        for event in past:
            send(producer, event)
        seen(decisions, {event["transaction_id"] for event in past})
        eventually(
            lambda: call(weir_stack, f"/features/{user_id}").get("sequence") == 5,
            within_ms=ANSWER_MS_MAX,
        )
        event = live_transaction(prefix, 5, user_id=user_id)
        predicted = call(weir_stack, "/predict", event)
        send(producer, event)
        found = seen(decisions, {event["transaction_id"]})
    decision = found[event["transaction_id"]][0][1]
    assert predicted["features"] == decision["features"]
    assert predicted["score"] == decision["score"]
    assert predicted["decision"] == decision["decision"]
    assert call(weir_stack, f"/decisions/{event['transaction_id']}")["score"] == decision["score"]


def test_a_vector_predicted_before_the_users_newest_event_is_exact_like_the_streams(
    weir_stack: Services, producer: KafkaProducer, prefix: str
) -> None:
    user_id = f"{prefix}-late"
    with tail(weir_stack.kafka_bootstrap, topics.DECISIONS) as decisions:
        past = [live_transaction(prefix, number, user_id=user_id) for number in range(6)]
        for event in past:
            send(producer, event)
        seen(decisions, {event["transaction_id"] for event in past})
        eventually(
            lambda: call(weir_stack, f"/features/{user_id}").get("sequence") == 6,
            within_ms=ANSWER_MS_MAX,
        )
        newest_ms = max(event["event_time_ms"] for event in past)
        late = live_transaction(prefix, 6, user_id=user_id, event_time_ms=newest_ms - 1)
        predicted = call(weir_stack, "/predict", late)
        send(producer, late)
        found = seen(decisions, {late["transaction_id"]})
    decision = found[late["transaction_id"]][0][1]
    assert predicted["features"] == decision["features"]
    assert predicted["approximate"] == decision["approximate"] == []


def test_flink_really_runs_the_operators_inside_its_own_process(weir_stack: Services) -> None:
    assert weir_stack.stack is not None
    pid = weir_stack.stack.pid("taskmanager")
    check = thread_mode(pid, flink_conf=weir_stack.stack.layout.flink_conf)
    assert check.ok, check.detail
