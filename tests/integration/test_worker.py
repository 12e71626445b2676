"""The scorer as a process, on a real Kafka and a real Redis: its delivery guarantees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from clients import probes as readiness
from schemas import topics
from schemas.dead_letter import read_dead_letter
from schemas.output_codec import encode_feature_row
from schemas.topics import REPLAY_HEADER
from scoring.worker.app import build_app
from scoring.worker.batch import Channels
from scoring.worker.watchdog import Progress
from tests.builders import NOW_MS
from tests.damaged_log import damage
from tests.scorer_bench import ANSWER_MS_MAX, Bench, scorer_bench, wait_for
from tests.scoring_fakes import feature_row
from tests.services import Services, unique_name
from tests.worker_process import running_worker

REPEATED_FIELDS = ("decision", "score", "model", "features", "features_offset")


@pytest.fixture
def bench(kafka: Services, redis_server: Services, tmp_path: Path) -> Bench:
    return scorer_bench(kafka, redis_server, tmp_path)


def assert_repeats_are_identical(found: dict[str, list[dict[str, Any]]]) -> int:
    for transaction_id, decisions in found.items():
        first = {name: decisions[0][name] for name in REPEATED_FIELDS}
        for repeat in decisions[1:]:
            assert {name: repeat[name] for name in REPEATED_FIELDS} == first, transaction_id
    return sum(len(decisions) - 1 for decisions in found.values())


def test_rows_become_decisions_and_other_records_become_dead_letters(bench: Bench) -> None:
    ids = bench.ids(20)
    with bench.decisions() as decisions, bench.dead_letters() as letters, bench.worker():
        bench.send_rows(ids[:10])
        with bench.producer() as producer:
            bench.send(producer, b"\xffno row", at=0)
            bench.send(producer, None, at=1)
            row = encode_feature_row(feature_row(ids[10]))
            bench.send(producer, row, at=0, headers=(REPLAY_HEADER,))
        bench.send_rows(ids[11:])
        found = wait_for(decisions, ids)
        letters.until(lambda seen: len(seen) >= 2, within_ms=ANSWER_MS_MAX)
        broker = bench.settings.kafka_bootstrap
        assert readiness.kafka_group_is_stable(f"{bench.channels.group}@{broker}")
        assert not readiness.kafka_group_is_stable(f"no-such-group@{broker}")
    assert all(len(decided) == 1 for decided in found.values())
    for record in decisions.records:
        decision = orjson.loads(record.value)
        assert record.key == decision["user_id"].encode()
        assert topics.read_header(record.headers, "ce_id") == decision["transaction_id"].encode()
        assert topics.is_replay(record.headers) == (decision["transaction_id"] == ids[10])
        assert decision["degraded"] == ["no_model"]
    places = {
        (decision["features_offset"]["partition"], decision["features_offset"]["offset"])
        for decision in decisions.objects()
    }
    assert len(places) == len(ids)
    assert {letter.value for letter in letters.records} == {b"\xffno row", None}
    for letter in letters.records:
        why = read_dead_letter(letter.headers)
        assert (why.topic, why.stage) == (bench.channels.features, "score")
        assert letter.timestamp_ms in (NOW_MS, NOW_MS + 1)


def test_killing_the_scorer_loses_no_decision_and_repeats_are_identical(bench: Bench) -> None:
    ids = bench.ids(3_000)
    with bench.decisions() as decisions:
        with bench.worker() as worker:
            bench.send_rows(ids[:1_000])
            decisions.until(lambda seen: len(seen) > 200, within_ms=ANSWER_MS_MAX)
            bench.send_rows(ids[1_000:2_000])
            worker.kill()
        with bench.worker():
            bench.send_rows(ids[2_000:])
            found = wait_for(decisions, ids)
    repeats = assert_repeats_are_identical(found)
    print(f"{len(found)} decided, {repeats} repeats")
    assert len(found) == len(ids)


def test_rebalances_lose_no_decision_and_repeats_are_identical(
    bench: Bench,
) -> None:
    # Two rebalances under load: one when the second worker joins, one when the first leaves.
    ids = bench.ids(3_000)
    second = bench.log.with_name("second.log")
    with bench.decisions() as decisions, bench.worker() as first:
        bench.send_rows(ids[:500])
        decisions.until(lambda seen: len(seen) > 100, within_ms=ANSWER_MS_MAX)
        with running_worker(bench.settings, bench.channels, second) as other:
            bench.send_rows(ids[500:1_500], rate=400)
            other.wait_for_log("Setting newly assigned partitions")
            bench.send_rows(ids[1_500:2_000])
            assert first.terminate() == 0, first.tail()
            bench.send_rows(ids[2_000:], rate=400)
            found = wait_for(decisions, ids)
            assert other.terminate() == 0, other.tail()
    repeats = assert_repeats_are_identical(found)
    print(f"{len(found)} decided, {repeats} repeats")
    progress = bench.progress()
    assert progress == Progress(lag=0, committed=len(ids))


def test_a_clean_stop_commits_all_decided_rows(bench: Bench) -> None:
    ids = bench.ids(600)
    with bench.decisions() as decisions:
        with bench.worker() as worker:
            bench.send_rows(ids[:300])
            wait_for(decisions, ids[:300])
            assert worker.terminate() == 0, worker.tail()
        assert bench.progress() == Progress(lag=0, committed=300)
        with bench.worker():
            bench.send_rows(ids[300:])
            found = wait_for(decisions, ids)
    assert {len(decided) for decided in found.values()} == {1}


def test_without_redis_every_row_is_decided_and_marked_as_degraded(bench: Bench) -> None:
    bench.settings = bench.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    ids = bench.ids(50)
    with bench.decisions() as decisions, bench.worker():
        bench.send_rows(ids)
        found = wait_for(decisions, ids)
    for decided in found.values():
        assert decided[0]["degraded"] == ["no_model", "decision_store_unavailable"]


def test_a_second_row_of_a_transaction_gets_the_first_decision_from_another_process(
    bench: Bench,
) -> None:
    (transaction_id,) = bench.ids(1)
    changed = feature_row(transaction_id, features={"user_transaction_count_5m": 99})
    with bench.decisions() as decisions:
        with bench.worker() as worker:
            bench.send_rows([transaction_id])
            wait_for(decisions, [transaction_id])
            worker.terminate()
        with bench.worker(), bench.producer() as producer:
            bench.send(producer, encode_feature_row(changed), at=1)
            producer.flush()
            decisions.until(lambda seen: len(seen) == 2, within_ms=ANSWER_MS_MAX)
    first, repeat = (record.value for record in decisions.records)
    assert repeat == first


def test_an_unexpected_error_ends_the_process_uncommitted(bench: Bench) -> None:
    # The topic of the decisions does not exist, so the broker refuses every record.
    bench.channels = Channels(
        group=bench.channels.group,
        features=bench.channels.features,
        decisions=unique_name("missing"),
        dead_letters=bench.channels.dead_letters,
    )
    with bench.worker() as worker:
        bench.send_rows(bench.ids(3))
        worker.wait_for_log("ending uncommitted", within_s=90)
        assert worker.wait() == 70
    assert bench.progress() == Progress(lag=3, committed=0)


def test_a_damaged_feature_log_ends_the_process_and_no_row_is_passed_over(
    bench: Bench, kafka: Services
) -> None:
    bench.send_rows(bench.ids(6))
    damage(kafka, bench.channels.features, bench.ids(1)[0].encode())
    with bench.worker() as worker:
        assert worker.wait() != 0
        assert "CRC32C" in worker.tail()
    progress = bench.progress()
    assert progress is not None
    assert progress.lag >= 3


def test_the_watchdog_reads_lag_and_commits_from_the_broker(bench: Bench) -> None:
    assert bench.progress() == Progress(lag=0, committed=0)
    bench.send_rows(bench.ids(5))
    assert bench.progress() == Progress(lag=5, committed=0)


def test_the_unsafe_settings_of_faust_are_off(bench: Bench) -> None:
    conf = build_app(bench.settings, bench.channels).conf
    assert conf.web_enabled is False
    assert conf.topic_disable_leader is True
    assert conf.topic_allow_declare is False
    assert conf.processing_guarantee.value == "at_least_once"
    assert conf.stream_wait_empty is True
    assert str(conf.datadir).startswith(str(bench.settings.data_dir))
