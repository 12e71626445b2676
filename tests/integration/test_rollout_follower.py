"""The follower of rollouts on a real Kafka and a real MLflow: what is in use, and when."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from clients.mlflow_rest import MlflowRest
from models.heuristic import HEURISTIC
from scoring.core.rollout_changes import aborted, completed, paused, switched
from scoring.core.rollouts import RolloutInUse
from scoring.metrics import build_metrics
from scoring.stores.arm_models import LOADING_MS_MAX
from scoring.stores.rollout_log import RolloutLog
from scoring.stores.rollouts import RolloutFollower
from tests.integration.test_registry import eventually
from tests.integration.test_rollout_log import send
from tests.model_files import trained, with_golden
from tests.rollout_steps import author, start, step
from tests.scoring_fakes import FixedSource
from tests.services import Services, unique_name
from training.registry.register import ModelRegistry

# MLflow warns of type hints of its own when it writes a model.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")

ANSWER_S_MAX = 60.0
HANGS_S = 600.0
"""How long a request waits for a registry that does not answer."""


@pytest.fixture(scope="module")
def model_name(mlflow_server: Services) -> str:
    """A model with two good versions, 1 and 2, and version 3, which is refused."""
    name = unique_name("model")
    registry = ModelRegistry(mlflow_server.mlflow_uri, model_name=name)
    bad = with_golden(trained().files, scores=[0.123] * 200)
    for files, seed in ((trained().files, 7), (trained(seed=8).files, 8), (bad, 7)):
        registry.register(
            trained(seed=seed).forest, files, params={}, metrics={}, tags={}, files={}
        )
    return name


@dataclass
class Followed:
    """A log, and followers of it."""

    log: RolloutLog
    bootstrap: str
    topic: str
    mlflow_uri: str
    model_name: str
    champion: FixedSource = field(default_factory=lambda: FixedSource(HEURISTIC))
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)
    completed: list[RolloutInUse | None] = field(default_factory=list)
    now_ms: float = 0.0

    def new_follower(self, mlflow_uri: str, *, timeout_s: float = 5.0) -> RolloutFollower:
        follower = RolloutFollower(
            self.bootstrap,
            MlflowRest(mlflow_uri, timeout_s=timeout_s),
            champion=self.champion,
            model_name=self.model_name,
            metrics=build_metrics(self.metrics),
            clock_ms=lambda: self.now_ms,
            on_completed=lambda: self.completed.append(follower.current()),
            topic=self.topic,
        )
        return follower

    @contextmanager
    def follower(self, *, mlflow_uri: str | None = None) -> Iterator[RolloutFollower]:
        follower = self.new_follower(mlflow_uri or self.mlflow_uri)
        follower.start()
        try:
            yield follower
        finally:
            follower.stop()


@pytest.fixture
def followed(kafka: Services, mlflow_server: Services, model_name: str) -> Followed:
    topic = kafka.new_topic("rollouts")
    return Followed(
        RolloutLog(kafka.kafka_bootstrap, source="/test", topic=topic),
        kafka.kafka_bootstrap,
        topic,
        mlflow_server.mlflow_uri,
        model_name,
    )


def soon(is_so: Callable[[], bool]) -> None:
    eventually(is_so, within_s=ANSWER_S_MAX)


def versions(in_use: RolloutInUse | None) -> dict[str, str | None]:
    assert in_use is not None
    return {
        name: model.ref.version if model is not None else None
        for name, model in in_use.models.items()
    }


def revision(follower: RolloutFollower) -> int:
    in_use = follower.current()
    return 0 if in_use is None else in_use.rollout.revision


def share(of: Followed, arm: str, version: str) -> float | None:
    labels = {"rollout": "r-1", "arm": arm, "version": version}
    return of.metrics.get_sample_value("scoring_rollout_share", labels)


def loaded(of: Followed, arm: str, version: str) -> float | None:
    labels = {"rollout": "r-1", "arm": arm, "version": version}
    return of.metrics.get_sample_value("scoring_rollout_arm_loaded", labels)


def test_changes_are_in_use_without_a_restart(followed: Followed) -> None:
    first = start(model_name=followed.model_name)
    more = step(first.rollout, shares_bp={"control": 2_000, "challenger": 8_000})
    with followed.follower() as follower:
        assert follower.current() is None
        followed.log.write(first)
        soon(lambda: revision(follower) == 1)
        before = follower.current()
        assert versions(before) == {"control": "1", "challenger": "2"}
        followed.log.write(more)
        soon(lambda: revision(follower) == 2)
        after = follower.current()
        assert after is not None
        assert before is not None
        assert after.models == before.models, "a change of shares loads nothing"
        assert share(followed, "challenger", "2") == 0.8
        assert dict(follower.newest()) == {"r-1": more}
        followed.log.write(aborted(more.rollout, author()))
        soon(lambda: follower.current() is None)
        assert share(followed, "challenger", "2") == 0
    assert followed.completed == []


def test_blue_and_green_are_both_loaded_before_and_after_a_switch(followed: Followed) -> None:
    blue = start(model_name=followed.model_name, strategy="blue_green")
    green = switched(blue.rollout, author())
    followed.log.write(blue)
    with followed.follower() as follower:
        assert versions(follower.current()) == {"control": "1", "green": "2"}
        followed.log.write(green)
        soon(lambda: revision(follower) == 2)
        assert versions(follower.current()) == {"control": "1", "green": "2"}


def test_a_process_that_starts_reads_the_log_to_its_end_first(followed: Followed) -> None:
    first = start(model_name=followed.model_name)
    followed.log.write(first)
    followed.log.write(start("other", model_name="other-model"))
    followed.log.write(paused(first.rollout, author()))
    with followed.follower() as follower:
        assert revision(follower) == 2
        assert versions(follower.current()) == {"control": "1", "challenger": "2"}
        assert follower.newest().keys() == {"r-1", "other"}


def test_a_broken_or_unknown_record_changes_nothing_and_is_counted(followed: Followed) -> None:
    first = start(model_name=followed.model_name)
    followed.log.write(first)
    with followed.follower() as follower:
        send(followed.log, b"\xff")
        send(followed.log, b"{}")
        followed.log.write(paused(first.rollout, author()))
        soon(lambda: revision(follower) == 2)
    assert followed.metrics.get_sample_value("scoring_rollout_records_ignored_total") == 2


@pytest.mark.parametrize(("version", "why"), [("3", "GoldenRowsMismatch"), ("99", "no version 99")])
def test_an_arm_whose_version_is_refused_has_no_model(
    followed: Followed, version: str, why: str
) -> None:
    followed.log.write(start(model_name=followed.model_name, challengers={"challenger": version}))
    with followed.follower() as follower:
        assert versions(follower.current()) == {"control": "1", "challenger": None}
        assert why in follower.refused()[version]


def test_an_arm_gets_no_traffic_before_its_version_is_loaded(followed: Followed) -> None:
    followed.log.write(start(model_name=followed.model_name))
    with followed.follower(mlflow_uri="http://127.0.0.1:1") as follower:
        assert not follower._arms.is_loading(), "the registry was asked before the start ended"
        assert follower.current() is None
        waits = follower.standing()
        assert waits is not None
        assert (waits.is_in_use, waits.loaded) == (False, {"control": False, "challenger": False})
        assert loaded(followed, "challenger", "2") == 0
        follower._arms._registry = MlflowRest(followed.mlflow_uri)
        soon(lambda: follower.current() is not None)
        assert versions(follower.current()) == {"control": "1", "challenger": "2"}
        goes = follower.standing()
        assert goes is not None
        assert (goes.is_in_use, goes.loaded) == (True, {"control": True, "challenger": True})
        assert loaded(followed, "challenger", "2") == 1


def test_a_registry_that_stays_away_delays_a_rollout_for_a_minute_only(
    followed: Followed,
) -> None:
    followed.log.write(start(model_name=followed.model_name))
    with followed.follower() as follower:
        in_use = follower.current()
        assert in_use is not None
        control = in_use.models["control"]
        assert control is not None
    followed.champion = FixedSource(control)
    followed.metrics = CollectorRegistry()
    with followed.follower(mlflow_uri="http://127.0.0.1:1") as follower:
        assert follower.current() is None
        followed.now_ms = LOADING_MS_MAX
        soon(lambda: follower.current() is not None)
        assert versions(follower.current()) == {"control": "1", "challenger": None}
        follower._arms._registry = MlflowRest(followed.mlflow_uri)
        eventually(
            lambda: versions(follower.current()) == {"control": "1", "challenger": "2"},
            within_s=ANSWER_S_MAX,
        )


def test_a_registry_that_hangs_delays_no_change(followed: Followed) -> None:
    first = start(model_name=followed.model_name)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        follower = followed.new_follower(uri, timeout_s=HANGS_S)
        threading.Thread(target=follower.start, daemon=True).start()
        followed.log.write(first)
        soon(follower._arms.is_loading)
        assert follower.current() is None, "a rollout begins once its versions are loaded"
        last = aborted(first.rollout, author())
        followed.log.write(last)
        soon(lambda: dict(follower.newest()) == {"r-1": last})
        assert follower._arms.is_loading()
        follower.stop()
    assert follower.current() is None


def test_the_champion_is_looked_up_before_a_completed_rollout_is_left(followed: Followed) -> None:
    first = start(model_name=followed.model_name)
    followed.log.write(first)
    with followed.follower() as follower:
        followed.log.write(completed(first.rollout, author(), winner="challenger"))
        soon(lambda: follower.current() is None)
    (in_use,) = followed.completed
    assert in_use is not None
    assert in_use.rollout == first.rollout, "the arms decide until the champion has been looked up"


def test_without_kafka_there_is_no_rollout_and_the_start_does_not_wait(followed: Followed) -> None:
    followed.bootstrap = "127.0.0.1:1"
    with followed.follower() as follower:
        assert follower.current() is None
        assert "does not answer" in (follower.trouble() or "")
    assert followed.metrics.get_sample_value("scoring_rollout_log_failures_total") == 1
