"""`weir parity` over the whole system: each copy of each feature is what a recomputation gives."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from kafka import KafkaProducer

from clients.log_record import Record
from features.definitions import DAY_MS, FEATURE_NAMES
from infra.local.layout import REPO
from models.encoding.vector import vector_bytes, vector_digest
from operations.parity.run import SURFACES
from schemas import topics
from schemas.settings import environment_of
from tests import one_vector
from tests.blind_stream import BlindStream
from tests.model_files import trained
from tests.services import Services
from tests.topic_tail import Tail, by_transaction, tail
from tests.traffic import live_transaction, now_ms
from training.registry.gate import PassedGate
from training.registry.register import ModelRegistry
from training.registry.versions import ModelVersions

COMMAND_S_MAX = 900
ANSWER_MS_MAX = 60_000
SENT = 300
BLIND = 200


@pytest.fixture(scope="module")
def producer(weir_stack: Services) -> Iterator[KafkaProducer]:
    """One for all: a client that is closed as soon as it is made says so as an error."""
    client = KafkaProducer(bootstrap_servers=weir_stack.kafka_bootstrap)
    yield client
    client.close()


@pytest.fixture(scope="module")
def champion(weir_stack: Services, producer: KafkaProducer) -> str:
    """The version that decides: the one there is, or a small one, served by scorer and API."""
    settings = weir_stack.settings
    versions = ModelVersions.from_settings(settings)
    if (found := versions.champion()) is not None:
        return found.version
    model = trained()
    registry = ModelRegistry(settings.mlflow_tracking_uri, model_name=settings.model_name)
    version = registry.register(
        model.forest, model.files, params={}, metrics={}, tags={}, files={}
    ).version
    versions.promote(version, gate=PassedGate(rows=1, values_checked=1), reason="a test")
    deadline_s = time.monotonic() + ANSWER_MS_MAX / 1_000
    prefix = uuid.uuid4().hex[:8]
    for number in count():
        transaction = live_transaction(prefix, number)
        predicted = httpx.post(api(weir_stack, "/predict"), json=transaction).json()
        decision = streamed(weir_stack, producer, transaction)
        if predicted["model_version"] == decision["model"]["version"] == version:
            break
        assert time.monotonic() < deadline_s, decision
    return version


def api(services: Services, path: str) -> str:
    return f"http://{services.settings.api_host}:{services.settings.api_port}{path}"


def streamed(
    services: Services, producer: KafkaProducer, transaction: dict[str, Any]
) -> dict[str, Any]:
    """Send a transaction; give its decision."""
    ids = {transaction["transaction_id"]}
    with tail(services.kafka_bootstrap, topics.DECISIONS) as decisions:
        key = transaction["user_id"].encode()
        producer.send(topics.TRANSACTIONS, key=key, value=orjson.dumps(transaction))
        producer.flush()
        decisions.until(lambda _: bool(by_transaction(decisions, ids)), within_ms=ANSWER_MS_MAX)
        ((_, decision), *_) = by_transaction(decisions, ids)[transaction["transaction_id"]]
    return decision


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")
def test_predicted_just_before_it_is_streamed_it_has_the_very_vector_and_score(
    weir_stack: Services, producer: KafkaProducer, champion: str
) -> None:
    prefix = uuid.uuid4().hex[:8]
    user_id = f"{prefix}-u"
    for number in range(5):
        streamed(weir_stack, producer, live_transaction(prefix, number, user_id=user_id))
    deadline_s = time.monotonic() + ANSWER_MS_MAX / 1_000
    while httpx.get(api(weir_stack, f"/features/{user_id}")).json().get("sequence") != 5:
        assert time.monotonic() < deadline_s, "the user's state is not in Redis"
        time.sleep(0.1)
    transaction = live_transaction(prefix, 5, user_id=user_id)
    predicted = httpx.post(api(weir_stack, "/predict"), json=transaction).json()
    decision = streamed(weir_stack, producer, transaction)
    assert decision["model"]["version"] == champion
    vector = [math.nan if number is None else number for number in predicted["vector"]]
    assert decision["vector_digest"] == vector_digest(vector_bytes(vector))
    for name in ("score", "decision", "model", "features", "approximate"):
        assert predicted[name] == decision[name], name


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")
def test_stream_api_batch_form_function_and_embedded_use_score_alike_to_the_last_bit(
    weir_stack: Services, producer: KafkaProducer, champion: str, tmp_path: Path
) -> None:
    """Each user and merchant has a history, and one more transaction, which is scored."""
    settings, prefix = weir_stack.settings, uuid.uuid4().hex[:8]

    def events(of: str) -> list[dict[str, Any]]:
        return [
            live_transaction(
                f"{prefix}-{of}", n, user_id=f"{prefix}-u{n}", merchant_id=f"{prefix}-m{n}"
            )
            for n in range(one_vector.BATCH)
        ]

    scorer = one_vector.embedded_scorer(settings, tmp_path)
    first = events("first")
    streamed_all(weir_stack, producer, first)
    deadline_s = time.monotonic() + ANSWER_MS_MAX / 1_000
    while not all(
        pair.user[0] and pair.merchant[0] for pair in one_vector.histories(settings, first)
    ):
        assert time.monotonic() < deadline_s, "not all histories are in Redis"
        time.sleep(0.5)
    second = events("second")
    found = one_vector.scored_before_they_are_streamed(settings, second, scorer)
    rows, decisions = streamed_all(weir_stack, producer, second)
    if not scorer.model.batch_columns:
        found["rows of the log"] = one_vector.scored_from_rows(rows, scorer)
    wanted = [one_vector.of_decision(decision) for decision in decisions]
    assert {each.version for each in wanted} == {champion}
    assert len({each.vector for each in wanted}) == one_vector.BATCH, "no two are the same"
    for way, scored in found.items():
        assert scored == wanted, way


def streamed_all(
    services: Services, producer: KafkaProducer, events: list[dict[str, Any]]
) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Send transactions; give their rows and their decisions, in the order of the transactions."""
    ids = [event["transaction_id"] for event in events]
    bootstrap, wanted = services.kafka_bootstrap, set(ids)

    def has_all(seen: Tail, records: list[Record]) -> bool:
        return len(records) >= len(ids) and len(by_transaction(seen, wanted)) == len(ids)

    with tail(bootstrap, topics.FEATURES) as rows, tail(bootstrap, topics.DECISIONS) as decisions:
        for event in events:
            key = event["user_id"].encode()
            producer.send(topics.TRANSACTIONS, key=key, value=orjson.dumps(event))
        producer.flush()
        for each in (rows, decisions):
            each.until(partial(has_all, each), within_ms=ANSWER_MS_MAX)
        found_rows, found = by_transaction(rows, wanted), by_transaction(decisions, wanted)
    return (
        [found_rows[each][0][0].value or b"" for each in ids],
        [found[each][0][1] for each in ids],
    )


def test_rows_and_decisions_of_a_repeat_say_what_the_first_ones_say(
    weir_stack: Services, producer: KafkaProducer
) -> None:
    """Ties, repeats that say something else, late ones, labels; parity below counts them, too."""
    prefix, now = uuid.uuid4().hex[:8], now_ms()
    stream = BlindStream(
        random.Random(16), prefix=prefix, start_ms=now - 40 * DAY_MS, observed_from_ms=now
    )
    events = stream.events(BLIND)
    ids = {event.event_id for event in events if event.is_transaction}
    bootstrap = weir_stack.kafka_bootstrap
    with tail(bootstrap, topics.FEATURES) as rows, tail(bootstrap, topics.DECISIONS) as decisions:
        for event in events:
            producer.send(
                event.topic, key=event.key, value=event.value, headers=[topics.REPLAY_HEADER]
            )
        producer.flush()
        decisions.until(
            lambda _: sum(map(len, by_transaction(decisions, ids).values())) >= BLIND,
            within_ms=ANSWER_MS_MAX,
        )
        rows.until(
            lambda _: sum(map(len, by_transaction(rows, ids).values())) >= BLIND,
            within_ms=ANSWER_MS_MAX,
        )
    sent_again = 0
    for transaction_id, of_id in by_transaction(rows, ids).items():
        first: dict[str, dict[str, Any]] = {}
        for _, row in of_id:
            said = row["transaction"]
            if not row["repeat"]:
                first[said["user_id"]] = said
            assert said == first[said["user_id"]]
        sent_again += len(of_id) > 1
        ((_, decision), *others) = by_transaction(decisions, ids)[transaction_id]
        for _, other in others:
            assert {**other, "timings": {}} == {**decision, "timings": {}}
    assert sent_again > BLIND // 10


def parity(services: Services, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and report of `weir parity --json`."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli.main", "parity", "--json", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND_S_MAX,
        cwd=REPO,
        env={**os.environ, **environment_of(services.settings)},
    )
    assert done.stdout.count("\n") == 1, done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.timeout(2 * COMMAND_S_MAX)
def test_every_copy_of_every_feature_is_what_a_recomputation_gives(
    weir_stack: Services, producer: KafkaProducer, champion: str
) -> None:
    prefix = uuid.uuid4().hex[:8]
    events = [
        live_transaction(prefix, number, user_id=f"{prefix}-{number % 20}")
        for number in range(SENT)
    ]
    with tail(weir_stack.kafka_bootstrap, topics.DECISIONS) as decisions:
        for event in events:
            producer.send(
                topics.TRANSACTIONS, key=event["user_id"].encode(), value=orjson.dumps(event)
            )
        for event in events[::10]:
            label = {
                "transaction_id": event["transaction_id"],
                "merchant_id": event["merchant_id"],
                "event_time_ms": event["event_time_ms"],
                "observed_time_ms": max(now_ms(), event["event_time_ms"]),
                "is_fraud": True,
            }
            key = event["merchant_id"].encode()
            producer.send(topics.LABELS, key=key, value=orjson.dumps(label))
        producer.flush()
        ids = {event["transaction_id"] for event in events}
        decisions.until(
            lambda _: by_transaction(decisions, ids).keys() == ids, within_ms=ANSWER_MS_MAX
        )
    code, report = parity(weir_stack)
    print(
        {
            name: report[name]
            for name in ("checked", "mismatched", "missing", "extra", "late_labels")
        }
    )
    assert (report["mismatched"], report["missing"], report["extra"]) == (0, 0, 0), report
    assert code == 0
    assert list(report["surfaces"]) == ["feature_log", *SURFACES]
    for name in ("feature_log", "training_rows"):
        assert report["surfaces"][name]["checked"] >= SENT * len(FEATURE_NAMES)
    # Features and vector.
    assert report["surfaces"]["decisions"]["checked"] >= SENT * 2 * len(FEATURE_NAMES)
    assert report["surfaces"]["online_users"]["checked"] >= 20 * 17 * 2
