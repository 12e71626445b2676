"""Batch features in decisions equal those in data sets, from the archive through Feast and Redis.

A real Redis, filled by Feast's own materialisation; the scorer's and the API's own readers.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prometheus_client import CollectorRegistry
from redis import Redis

from features.batch import BATCH_AGE_MS_MAX, BATCH_NAMES, BATCH_VIEWS, NO_HISTORY
from features.definitions import DAY_MS
from features.online import layout as online_store
from models.artifact.compile_forest import compile_forest
from models.artifact.load import LoadedModel, load_model
from models.encoding.table import encode_table, vector_spec
from models.encoding.vector import vector_digest
from models.policy import Policy
from operations.parity.surfaces.batch_features import BatchComparison
from schemas.codec import encode_label
from schemas.decision import Decision
from schemas.label import Label
from schemas.output_codec import decode_decision, decode_feature_row, encode_feature_row
from schemas.settings import Settings, environment_of
from schemas.topics import FEATURES, LABELS
from scoring.core.ad_hoc import Scoring, Stored, score_ad_hoc
from scoring.metrics import build_metrics
from scoring.stores.batch_reader import connect_batch_reader
from scoring.stores.first_decisions import FirstDecisions
from scoring.stores.online_reader import connect_reader
from scoring.wiring import steady_clock_ms
from scoring.worker.batch import BatchScorer, Channels
from scoring.worker.feature_log import Record
from tests.archives import append_values
from tests.builders import transaction
from tests.model_files import training_table
from tests.scoring_fakes import (
    FixedSource,
    MemoryFeatureLog,
    MemorySink,
    MemoryStore,
    feature_row,
)
from tests.services import Services
from training.archive.snapshots import ArchivedSnapshots
from training.datasets.build import build_dataset
from training.datasets.materialization import materialize
from training.datasets.materializer import (
    EXIT_NOTHING_DUE,
    completed_ms,
    materialize_what_is_due,
)
from training.fitting.fit import ForestParameters, fit_forest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

START_MS = 20_500 * DAY_MS
DAY = 6
"""Number of the day whose transactions are scored, from 0; so many days are before it."""
DAY_START_MS = START_MS + DAY * DAY_MS
DAYS = 15
MATERIALISED_S_MAX = 120.0
PER_DAY = 6
HOUR_MS = 3_600_000
POLICY = Policy(review_threshold=0.5, block_threshold=0.9)


def row_bytes(n: int) -> bytes:
    """Encode transaction n, of six a day; one of them is of a new user."""
    time_ms = START_MS + n * (DAY_MS // PER_DAY)
    user_id = f"new-{n}" if n % PER_DAY == 3 else f"é{n % 4}"
    event = transaction(
        transaction_id=f"t{n}", user_id=user_id, amount_minor=n * n, event_time_ms=time_ms
    )
    return encode_feature_row(replace(feature_row(), transaction=event))


def label_bytes(n: int) -> bytes:
    time_ms = START_MS + n * (DAY_MS // PER_DAY)
    return encode_label(Label(f"t{n}", "m-1", time_ms, time_ms + HOUR_MS, is_fraud=True))


ROWS = [row_bytes(n) for n in range(DAYS * PER_DAY)]
LEFT = encode_feature_row(
    replace(
        feature_row(),
        transaction=transaction(
            transaction_id="left", user_id="left", event_time_ms=DAY_START_MS - 181 * DAY_MS // 2
        ),
    )
)
"""The only transaction of its user, 90.5 days before the day that is scored."""
LABELLED = [label_bytes(n) for n in range(0, DAYS * PER_DAY, 5)]


@pytest.fixture(scope="module")
def settings(redis_server: Services, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An archive of some days; Redis has the last snapshot before the day that is scored."""
    directory = tmp_path_factory.mktemp("batch")
    settings = redis_server.settings.model_copy(
        update={
            "data_dir": directory,
            "archive_url": str(directory / "archive"),
            "feast_project": f"batch{uuid.uuid4().hex}",
            "redis_url": redis_server.redis_url,
            "topic_partitions": 1,
        }
    )
    append_values(settings.archive_url, FEATURES, [*ROWS, LEFT])
    append_values(settings.archive_url, LABELS, LABELLED)
    done = materialize(settings, now_ms=DAY_START_MS + HOUR_MS)
    assert done.snapshot_ms == DAY_START_MS
    return settings


@cache
def model() -> LoadedModel:
    """Fit a small forest whose vector has the batch features."""
    table = training_table()
    rng = np.random.default_rng(3)
    for name in BATCH_NAMES:
        table[name] = rng.integers(0, 20, len(table)) * 1.0
    spec = vector_spec(table)
    forest = fit_forest(table, spec, parameters=ForestParameters(trees=9, depth_max=5), seed=3)
    files = compile_forest(forest, spec, encode_table(table, spec), seed=3)
    return load_model(files, name="m", version="1", trees_digest=files.trees_digest)


def decide_in_batches(settings: Settings, values: Sequence[bytes]) -> list[Decision]:
    """Score feature rows with the scorer's parts, without Kafka and stored first decisions."""

    async def scored() -> list[Decision]:
        metrics = build_metrics(CollectorRegistry())
        reader = connect_batch_reader(
            redis_url=settings.redis_url,
            project=settings.feast_project,
            timeout_ms=5_000,
            clock_ms=lambda: 0.0,
            failures=metrics.batch_failures,
        )
        sink = MemorySink()
        scorer = BatchScorer(
            models=FixedSource(model()),
            policy=POLICY,
            store=MemoryStore(),
            log=MemoryFeatureLog(),
            batch_reader=reader,
            sink=sink,
            clock_ms=lambda: DAY_START_MS,
            metrics=metrics,
            channels=Channels(),
        )
        records = [Record(FEATURES, 0, at, 0, b"k", value, []) for at, value in enumerate(values)]
        try:
            for start in range(0, len(records), 4):
                await scorer.score(records[start : start + 4])
        finally:
            await reader.close()
        return [decode_decision(record.value) for record in sink.records]

    return asyncio.run(scored())


def of_the_day(day: int = DAY) -> list[bytes]:
    return ROWS[day * PER_DAY : (day + 1) * PER_DAY]


def of_batch(decision: Decision) -> dict[str, int | float | None]:
    return {name: decision.features[name] for name in BATCH_NAMES}


def test_a_decision_sees_what_the_data_set_of_its_day_has(settings: Settings) -> None:
    table = build_dataset(
        settings,
        first_ms=DAY_START_MS,
        end_ms=DAY_START_MS + DAY_MS,
        as_of_ms=DAY_START_MS + 2 * DAY_MS,
        maturity_ms=DAY_MS,
    ).table
    decisions = decide_in_batches(settings, of_the_day())
    assert [d.transaction_id for d in decisions] == table["transaction_id"].tolist()
    found = pd.DataFrame([of_batch(d) for d in decisions]).astype("float64")
    pd.testing.assert_frame_equal(found, table[list(BATCH_NAMES)], check_exact=True)
    vectors = encode_table(table, model().spec)
    assert [d.vector_digest for d in decisions] == [vector_digest(v.tobytes()) for v in vectors]
    assert {d.batch_as_of_ms for d in decisions} == {DAY_START_MS}
    assert {d.degraded for d in decisions} == {()}
    newcomer = decisions[3]
    assert newcomer.user_id.startswith("new-")
    assert of_batch(newcomer) == NO_HISTORY
    assert of_batch(decisions[0])[BATCH_NAMES[0]] != 0


def test_the_api_gives_the_same_batch_features_as_the_stream(settings: Settings) -> None:
    rows = [decode_feature_row(value) for value in of_the_day()]

    async def asked() -> list[Decision]:
        reader = connect_reader(
            redis_url=settings.redis_url,
            project=settings.feast_project,
            decisions=FirstDecisions(log=MemoryFeatureLog(), now_s=lambda: 0, ttl_s=600),
            timeout_ms=5_000,
            clock_ms=steady_clock_ms,
            on_failure=lambda: None,
        )
        try:
            return [
                score_ad_hoc(
                    row.transaction,
                    Stored(
                        await reader.read_entities(
                            user_id=row.transaction.user_id, merchant_id="m-1", with_batch=True
                        )
                    ),
                    Scoring(model(), POLICY, DAY_START_MS + DAY_MS, DAY_MS),
                ).decision
                for row in rows
            ]
        finally:
            await reader.close()

    ad_hoc = asyncio.run(asked())
    streamed = decide_in_batches(settings, of_the_day())
    assert [of_batch(d) for d in ad_hoc] == [of_batch(d) for d in streamed]
    assert [d.batch_as_of_ms for d in ad_hoc] == [d.batch_as_of_ms for d in streamed]


def test_a_user_who_left_the_window_keeps_the_last_snapshot_while_it_is_usable(
    settings: Settings,
) -> None:
    # The user is in every snapshot but the last one.
    last_ms = DAY_START_MS - DAY_MS

    def decided(event_time_ms: int) -> Decision:
        row = decode_feature_row(LEFT)
        event = replace(row.transaction, event_time_ms=event_time_ms)
        (decision,) = decide_in_batches(
            settings, [encode_feature_row(replace(row, transaction=event))]
        )
        return decision

    on_limit = decided(last_ms + BATCH_AGE_MS_MAX)
    assert of_batch(on_limit)[BATCH_NAMES[0]] == 1
    beyond = decided(last_ms + BATCH_AGE_MS_MAX + 1)
    assert of_batch(beyond) == NO_HISTORY
    assert on_limit.batch_as_of_ms == beyond.batch_as_of_ms == DAY_START_MS


@pytest.mark.parametrize(
    ("what", "word"),
    [
        ("redis is down", "batch_features_unavailable"),
        ("never materialised", "batch_features_missing"),
        ("before the snapshot", "batch_features_stale"),
        ("long after the snapshot", "batch_features_stale"),
    ],
)
def test_decisions_go_on_without_batch_features_and_say_why(
    settings: Settings, what: str, word: str
) -> None:
    changes: dict[str, dict[str, str]] = {
        "redis is down": {"redis_url": "redis://127.0.0.1:1/0"},
        "never materialised": {"feast_project": "nobody"},
    }
    days = {"before the snapshot": DAY - 1, "long after the snapshot": DAY + 2}
    values = of_the_day(days.get(what, DAY))[1:]
    decisions = decide_in_batches(settings.model_copy(update=changes.get(what, {})), values)
    assert len(decisions) == len(values)
    for decision in decisions:
        assert decision.degraded == (word,)
        assert of_batch(decision) == dict.fromkeys(BATCH_NAMES)
        assert decision.batch_as_of_ms is None
        assert set(of_batch(decision).values()) == {None}


def test_parity_with_the_snapshots_finds_a_wrong_value_and_no_other(settings: Settings) -> None:
    decisions = decide_in_batches(settings, of_the_day())

    def compared(change: Callable[[Decision], Decision]) -> tuple[int, int]:
        comparison = BatchComparison()
        for decision in decisions:
            comparison.take(change(decision))
        report = comparison.compare(ArchivedSnapshots(settings.archive_url).read)
        return report.checked, report.mismatched

    assert compared(lambda decision: decision) == (len(decisions) * len(BATCH_NAMES), 0)

    def broken(decision: Decision) -> Decision:
        mean = BATCH_NAMES[1]
        return replace(decision, features={**decision.features, mean: 1e9})

    assert compared(broken) == (len(decisions) * len(BATCH_NAMES), len(decisions))


# --- the materializer ------------------------------------------------------------------


@pytest.fixture
def own(settings: Settings) -> Iterator[Settings]:
    """The same archive, with a Feast project that has no values in Redis."""
    own = settings.model_copy(update={"feast_project": f"own{uuid.uuid4().hex}"})
    yield own
    with Redis.from_url(own.redis_url) as client:
        client.delete(online_store.complete_key(own.feast_project))


def test_what_is_due_is_put_online_once_and_again_when_redis_has_lost_it(own: Settings) -> None:
    delay_ms = own.materialize_delay_s * 1_000
    # Events after the clock do not count; by then there is one past the delay.
    due_ms = DAY_START_MS + DAY_MS - 1
    assert completed_ms(own) is None
    assert materialize_what_is_due(own, now_ms=DAY_START_MS + delay_ms - 1)
    assert completed_ms(own) == DAY_START_MS - DAY_MS
    assert not materialize_what_is_due(own, now_ms=DAY_START_MS + delay_ms - 1)
    assert materialize_what_is_due(own, now_ms=due_ms)
    assert completed_ms(own) == DAY_START_MS
    with Redis.from_url(own.redis_url) as client:
        client.delete(online_store.complete_key(own.feast_project))
    assert materialize_what_is_due(own, now_ms=due_ms)
    assert not materialize_what_is_due(own, now_ms=due_ms)
    # The clock goes on, the archive does not: a snapshot needs archived transactions.
    assert materialize_what_is_due(own, now_ms=DAY_START_MS + 1_000 * DAY_MS)
    assert completed_ms(own) == START_MS + (DAYS - 1) * DAY_MS


def reads(client: Redis) -> int:
    """How often Redis was asked for several values."""
    calls: int = client.info("commandstats").get("cmdstat_mget", {}).get("calls", 0)
    return calls


def test_the_running_materializer_notices_that_redis_was_emptied(own: Settings) -> None:
    newest_ms = START_MS + (DAYS - 1) * DAY_MS
    marks = [online_store.complete_key(own.feast_project, view) for view in BATCH_VIEWS]
    with Redis.from_url(own.redis_url) as client:
        client.mset(dict.fromkeys(marks, newest_ms))
        before = reads(client)
        program = subprocess.Popen(
            [sys.executable, "-m", "training.datasets.materializer"],
            env={**os.environ, **environment_of(own), "WEIR_MATERIALIZE_POLL_S": "3600"},
        )
        try:
            # It finds nothing due, and must see the marks to notice later that they are gone.
            deadline_s = time.monotonic() + MATERIALISED_S_MAX
            while reads(client) == before:
                assert time.monotonic() < deadline_s
                time.sleep(0.1)
            client.delete(*marks)
            while completed_ms(own) is None:
                assert time.monotonic() < deadline_s
                time.sleep(0.2)
        finally:
            program.terminate()
            assert program.wait(30) == 0
        assert completed_ms(own) == newest_ms
        assert len(client.keys(f"*{own.feast_project}")) > 1


def test_a_first_day_is_complete_without_a_user_in_any_snapshot(
    own: Settings, tmp_path: Path
) -> None:
    young = own.model_copy(update={"archive_url": str(tmp_path / "archive"), "data_dir": tmp_path})
    append_values(young.archive_url, FEATURES, ROWS[:3])
    append_values(young.archive_url, LABELS, [])
    assert materialize_what_is_due(young, now_ms=START_MS + DAY_MS - 1)
    assert completed_ms(young) == START_MS
    decisions = decide_in_batches(young, ROWS[:3])
    assert [of_batch(d) for d in decisions] == [dict(NO_HISTORY)] * 3
    assert {d.degraded for d in decisions} == {()}


def test_the_short_lived_process_is_quiet_while_there_is_no_archive(
    own: Settings, tmp_path: Path
) -> None:
    empty = own.model_copy(update={"archive_url": str(tmp_path / "none")})
    done = subprocess.run(
        [sys.executable, "-m", "training.datasets.materializer", "--once"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **environment_of(empty)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (EXIT_NOTHING_DUE, "", "")
    assert completed_ms(empty) is None
