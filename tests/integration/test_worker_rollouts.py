"""The scorer as a process during rollouts, on a real Kafka, Redis and MLflow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from schemas.output_codec import encode_feature_row
from schemas.rollout import Rollout, RolloutChange
from schemas.settings import Settings
from scoring.core.rollout_changes import aborted, switched
from scoring.core.rollouts import Assigner
from scoring.stores.rollout_log import RolloutLog
from tests.model_files import trained
from tests.rollout_steps import author, start, step
from tests.scorer_bench import ANSWER_MS_MAX, Bench, by_transaction, scorer_bench
from tests.scoring_fakes import feature_row
from tests.services import Services, unique_name
from tests.topic_tail import Tail, tail
from training.registry.gate import PassedGate
from training.registry.register import ModelRegistry
from training.registry.versions import ModelVersions

# MLflow warns of type hints of its own when it writes a model.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")

WITHIN_S = 60.0


@pytest.fixture(scope="module")
def model_settings(mlflow_server: Services) -> Settings:
    """A model with two versions, of which 1 is the champion."""
    settings = mlflow_server.settings.model_copy(
        update={
            "mlflow_tracking_uri": mlflow_server.mlflow_uri,
            "model_name": unique_name("model"),
        }
    )
    registry = ModelRegistry(settings.mlflow_tracking_uri, model_name=settings.model_name)
    for seed in (7, 8):
        each = trained(seed=seed)
        registry.register(each.forest, each.files, params={}, metrics={}, tags={}, files={})
    ModelVersions.from_settings(settings).promote(
        "1", gate=PassedGate(rows=1, values_checked=1), reason="a test"
    )
    return settings


@dataclass
class Traffic:
    """Rows of many users, and the decisions about them."""

    bench: Bench
    decisions: Tail
    sent: int = 0

    def send(self, count: int) -> list[str]:
        ids = self.bench.ids(count, start=self.sent)
        self.sent += count
        with self.bench.producer() as producer:
            for at, transaction_id in enumerate(ids):
                row = feature_row(transaction_id)
                event = replace(row.transaction, user_id=user_of(transaction_id))
                value = encode_feature_row(replace(row, transaction=event))
                self.bench.send(producer, value, at=at)
        return ids

    def decided(self, ids: list[str]) -> list[dict[str, Any]]:
        """Wait for the first decision about each."""
        self.decisions.until(
            lambda _: set(ids) <= by_transaction(self.decisions).keys(), within_ms=ANSWER_MS_MAX
        )
        found = by_transaction(self.decisions)
        return [found[transaction_id][0] for transaction_id in ids]

    def until(self, is_so: Callable[[dict[str, Any]], bool]) -> float:
        """Send a row now and then until a decision is as wanted; gives how long it took, s."""
        begin_s = time.monotonic()
        while not is_so(self.decided(self.send(1))[0]):
            assert time.monotonic() < begin_s + WITHIN_S, f"not so after {WITHIN_S} s"
        return time.monotonic() - begin_s


def user_of(transaction_id: str) -> str:
    return f"user-{transaction_id[-2:]}"


def revision_is(number: int) -> Callable[[dict[str, Any]], bool]:
    return lambda decision: (decision.get("rollout") or {}).get("revision", 0) == number


@pytest.fixture
def bench(
    kafka: Services, redis_server: Services, model_settings: Settings, tmp_path: Path
) -> Bench:
    bench = scorer_bench(kafka, redis_server, tmp_path)
    update = {
        "mlflow_tracking_uri": model_settings.mlflow_tracking_uri,
        "model_name": model_settings.model_name,
    }
    bench.settings = bench.settings.model_copy(update=update)
    return bench


@pytest.fixture
def traffic(bench: Bench) -> Iterator[Traffic]:
    with bench.decisions() as decisions:
        yield Traffic(bench, decisions)


def write(bench: Bench, change: RolloutChange) -> Rollout:
    log = RolloutLog(bench.settings.kafka_bootstrap, source="/test", topic=bench.channels.rollouts)
    log.write(change)
    return change.rollout


def assert_arms(rollouts: list[Rollout], decisions: list[dict[str, Any]]) -> None:
    """Replay the log: each revision assigns as its decisions say."""
    at = {rollout.revision: rollout for rollout in rollouts}
    for decision in decisions:
        of = at[decision["rollout"]["revision"]]
        wanted = Assigner(of).assign(
            user_id=decision["user_id"], transaction_id=decision["transaction_id"]
        )
        assert (decision["arm"], decision["propensity"]) == wanted
        version = next(arm.version for arm in of.arms if arm.name == wanted.arm)
        assert decision["model"]["version"] == version
        assert decision["degraded"] == []
        assert decision["model_ms"] is None or decision["model_ms"] > 0


def test_arms_decide_also_after_a_kill_and_the_log_replays_them(
    bench: Bench, traffic: Traffic
) -> None:
    name = bench.settings.model_name
    with bench.worker() as worker:
        assert "rollout" not in traffic.decided(traffic.send(20))[0]
        first = write(bench, start(model_name=name))
        print(f"in use after {traffic.until(revision_is(1)):.2f} s")
        before = traffic.send(300)
        traffic.decided(before[:100])
        more = write(bench, step(first, shares_bp={"control": 1_000, "challenger": 9_000}))
        before += traffic.send(300)
        worker.kill()
    with bench.worker():
        decisions = traffic.decided(before)
        assert_arms([first, more], decisions)
        assert {decision["arm"] for decision in decisions} == {"control", "challenger"}
        traffic.until(revision_is(2))
        write(bench, aborted(more, author()))
        print(f"left after {traffic.until(lambda each: 'rollout' not in each):.2f} s")
    for decided in by_transaction(traffic.decisions).values():
        kept = [{**each, "model_ms": None} for each in decided]
        assert all(each == kept[0] for each in kept), "a repeat repeats the first decision"


def test_blue_green_switches_and_returns_and_a_shadow_decides_nothing(
    bench: Bench, traffic: Traffic
) -> None:
    name = bench.settings.model_name
    bootstrap = bench.settings.kafka_bootstrap
    rollouts = [write(bench, start(model_name=name, strategy="blue_green"))]
    with bench.worker(), tail(bootstrap, bench.channels.shadow_decisions) as shadows:
        sent = traffic.send(100)
        for _ in range(2):
            rollouts.append(write(bench, switched(rollouts[-1], author())))
            sent += traffic.send(100)
            print(f"switched after {traffic.until(revision_is(len(rollouts))):.2f} s")
            sent += traffic.send(100)
        decisions = traffic.decided(sent)
        assert_arms(rollouts, decisions)
        assert {each["arm"] for each in decisions} == {"control", "green"}
        write(bench, aborted(rollouts[-1], author()))
        write(bench, start("r-2", model_name=name, strategy="shadow"))
        traffic.until(lambda each: (each.get("rollout") or {}).get("id") == "r-2")
        watched = traffic.send(100)
        decisions = traffic.decided(watched)
        shadows.until(
            lambda _: set(watched) <= by_transaction(shadows).keys(), within_ms=ANSWER_MS_MAX
        )
    found = by_transaction(shadows)
    assert {each["arm"] for each in decisions} == {"control"}
    for decision in decisions:
        (shadow,) = found[decision["transaction_id"]]
        assert (shadow["arm"], shadow["model"]["version"]) == ("challenger", "2")
        assert shadow["features_offset"] == decision["features_offset"]
