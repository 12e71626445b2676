"""Every way to the champion, tried with a feature log that a recomputation does not give.

One value of one row in Kafka is wrong, so each way must leave the champion as it is and name the
reason. `tests/house/test_promotion_paths.py` lists the ways; a new one needs a test here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.demo import run as demo_run
from infra.demo.run import DemoOptions, NotPromotedError
from infra.local.layout import REPO
from infra.simulation.replay import Progress
from operations.parity.sources.online_states import OnlineStatesUnreachableError
from operations.promotion import ClosedGate, ask_gate
from operations.rollouts.controller.follow import RolloutController
from operations.training_run.request import Plan, Rows, Source
from operations.training_run.run import train
from schemas.settings import Settings
from scoring.wiring import build_rollout_commands
from tests.bench import bench_stack
from tests.component.infra.test_airflow_commands import commands as dag_commands
from tests.logged_system import LoggedSystem, logged_services
from tests.refused_model import REASON, Deployment, deployed, with_one_wrong_value
from tests.services import Services
from training.registry.gate import PassedGate
from training.registry.versions import ModelVersions

# MLflow warns of type hints of its own when it writes a model; Feast of many things.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*Any type hint is inferred:UserWarning",
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
)

AS_OF = "2026-03-27"
"""The last day of the history."""
COMMAND_S_MAX = 120


@pytest.fixture(scope="module")
def wrong_system() -> LoggedSystem:
    return LoggedSystem.folded(broken=with_one_wrong_value)


@pytest.fixture(scope="module")
def wrong_services(local_services: Services, wrong_system: LoggedSystem) -> Iterator[Services]:
    with logged_services(wrong_system) as started:
        yield started


@pytest.fixture(scope="module")
def wrong_logs(
    wrong_services: Services,
    wrong_system: LoggedSystem,
    mlflow_server: Services,
    tmp_path_factory: pytest.TempPathFactory,
) -> Settings:
    """The logs and the archive that all tests read; without a model."""
    archive_url = str(tmp_path_factory.mktemp("wrong") / "archive")
    wrong_system.archive(archive_url)
    return wrong_services.settings.model_copy(
        update={
            "mlflow_tracking_uri": mlflow_server.mlflow_uri,
            "archive_url": archive_url,
            "topic_partitions": 1,
        }
    )


@pytest.fixture
def deployment(wrong_logs: Settings, tmp_path: Path) -> Deployment:
    """For a test that registers versions."""
    return deployed(wrong_logs, tmp_path)


@pytest.fixture(scope="module")
def untouched(wrong_logs: Settings, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """For all tests that leave everything as it is."""
    return deployed(wrong_logs, tmp_path_factory.mktemp("untouched"))


@pytest.fixture(scope="module")
def trained_once(wrong_logs: Settings, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """For all tests that ask again for the promotion of a version that was refused."""
    deployment = deployed(wrong_logs, tmp_path_factory.mktemp("trained"))
    deployment.trains_a_refused_version()
    deployment.refused_a_version()
    return deployment


@pytest.fixture
def rollout(trained_once: Deployment) -> Iterator[str]:
    """The name of a rollout of the version that was refused."""
    name = trained_once.starts_a_rollout()
    yield name
    aborted = trained_once.weir("rollout", "abort", name)
    assert aborted.exit_code == 0, aborted.output


def test_the_gate_itself_is_closed(untouched: Deployment) -> None:
    gate = ask_gate(untouched.settings)
    assert isinstance(gate, ClosedGate)
    # The archive, the decisions and the rows of training copy the wrong value.
    assert gate.reason == (
        f"{REASON}, decisions has 1 mismatched, training_rows has 1 mismatched, "
        "archived_rows has 1 mismatched; first: t77"
    )


@pytest.mark.parametrize(
    "options",
    [
        ("--as-of", AS_OF),
        ("--source", "log", "--keep-immature"),
        ("--source", "archive", "--keep-immature"),
    ],
    ids=" ".join,
)
def test_weir_train(deployment: Deployment, options: tuple[str, ...]) -> None:
    result = deployment.weir("train", *options)
    assert result.exit_code == 1, result.output
    assert REASON in result.output
    deployment.refused_a_version()


def test_weir_train_every(deployment: Deployment) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "infra.cli.main", "train", "--every", "1d", "--days", "9999"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=REPO,
        env={**os.environ, **deployment.environment},
    ) as running:
        assert running.stdout is not None
        said = []
        deadline_s = time.monotonic() + COMMAND_S_MAX
        for line in running.stdout:
            said.append(line)
            assert time.monotonic() < deadline_s
            if REASON in line:
                break
        running.send_signal(signal.SIGINT)
        said += running.stdout.readlines()
    assert running.returncode == 0, said
    assert any("as a challenger, not the champion" in line for line in said)
    deployment.refused_a_version()


def test_weir_models_promote(trained_once: Deployment) -> None:
    refused = trained_once.is_unchanged()
    assert refused is not None
    result = trained_once.weir("models", "promote", refused.version)
    assert result.exit_code == 1, result.output
    assert f"not promoted, {REASON}" in result.output
    trained_once.refused_a_version()


def test_weir_rollout_promote(trained_once: Deployment, rollout: str) -> None:
    result = trained_once.weir("rollout", "promote", rollout)
    assert result.exit_code == 1, result.output
    assert f"not promoted, {REASON}" in result.output
    trained_once.refused_a_version()
    assert "the rollout goes on" in result.output
    assert f"{rollout}: ab of" in trained_once.weir("rollout", "status", rollout).output


def test_the_rollout_controller(trained_once: Deployment, rollout: str) -> None:
    """A person asks for the promotion over HTTP, and the controller asks the gate."""
    commands = build_rollout_commands(trained_once.settings, source="/test")
    commands.ask_to_promote(rollout, by="ana", reason="it is better")
    stop = threading.Event()
    running = threading.Thread(target=RolloutController(trained_once.settings).run, args=[stop])
    running.start()
    deadline_s = time.monotonic() + COMMAND_S_MAX
    while len(commands.changes(rollout)) < 3 and time.monotonic() < deadline_s:
        time.sleep(0.2)
    stop.set()
    running.join()
    last = commands.changes(rollout)[-1]
    assert last.rollout.status == "running"
    assert last.rollout.promotes is None, "the request is answered"
    assert last.reason.startswith(f"Not promoted: {REASON}")
    trained_once.refused_a_version()


@pytest.mark.parametrize(
    "command",
    [("train",), ("models", "promote", "1"), ("rollout", "promote", "r-1")],
    ids=" ".join,
)
def test_no_option_skips_the_gate(untouched: Deployment, command: tuple[str, ...]) -> None:
    for option in ("--skip-parity", "--force", "--no-parity"):
        result = untouched.weir(*command, option)
        assert result.exit_code == 2
        assert f"No such option: {option}" in result.output
    assert untouched.is_unchanged() is None


def test_the_dag_for_airflow(deployment: Deployment, tmp_path: Path) -> None:
    (words,) = [words for words in dag_commands() if words[0] == "train"]
    # The history of the test is months old; the DAG itself trains as of now.
    done = subprocess.run(
        [str(Path(sys.executable).with_name("weir")), *words, "--as-of", AS_OF],
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND_S_MAX,
        cwd=tmp_path,
        env={**os.environ, **deployment.environment},
    )
    assert done.returncode == 1, done.stderr
    assert REASON in done.stdout
    deployment.refused_a_version()


@pytest.mark.parametrize(
    "module",
    [
        "operations.training_run",
        "operations.training_run.run",
        "operations.promotion",
        "training.registry.versions",
    ],
)
def test_a_module_run_as_a_program_does_nothing(untouched: Deployment, module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--seed", "1", "--keep-immature", "1"],
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND_S_MAX,
        cwd=REPO,
        env={**os.environ, **untouched.environment},
    )
    assert done.stdout == ""
    assert untouched.is_unchanged() is None


class SilentScreen:
    """Shows nothing of a demo."""

    def say(self, line: str) -> None: ...

    def history(self, title: str, *, total: int) -> Any:
        return nullcontext(lambda _: None)

    def live(self, tracker: object) -> Any:
        raise AssertionError("there is no champion to send traffic to")

    def trained(self, outcome: object) -> None: ...


def no_history(*_: object, **__: object) -> Progress:
    return Progress()


def test_the_demo(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_run, "send_history", no_history)
    monkeypatch.setattr(demo_run, "_champion_version", lambda _: None)
    options = DemoOptions(
        duration_s=1.0, rate_per_s=1.0, warm_up_s=0.0, seed=1, history_days=15, per_day=100
    )
    with pytest.raises(NotPromotedError, match=REASON):
        demo_run.run_demo(deployment.settings, options, SilentScreen())
    deployment.refused_a_version()


def test_the_bench(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_stack, "send_history", no_history)
    bench = object.__new__(bench_stack.BenchStack)
    bench.settings = deployment.settings
    with pytest.raises(SystemExit, match=REASON):
        bench._train()
    deployment.refused_a_version()


def test_a_service_that_is_away_closes_the_gate(
    untouched: Deployment, true_services: Services
) -> None:
    """Only with every copy compared is parity 0."""
    true = untouched.settings.model_copy(
        update={
            "kafka_bootstrap": true_services.kafka_bootstrap,
            "redis_url": true_services.redis_url,
            "archive_url": str(untouched.settings.data_dir / "none"),
        }
    )
    assert isinstance(ask_gate(true), PassedGate)
    for name, address in (
        ("kafka_bootstrap", "127.0.0.1:1"),
        ("redis_url", "redis://127.0.0.1:1/0"),
    ):
        gate = ask_gate(true.model_copy(update={name: address}))
        assert isinstance(gate, ClosedGate)
        assert gate.reason.startswith("parity could not be established: ")
        assert gate.cause is not None


def test_a_training_that_is_tried_again_registers_nothing_while_redis_is_away(
    training_settings: Settings, true_services: Services
) -> None:
    away = training_settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    rows = Rows(source=Source.LOG, keep_immature=True)
    now_ms = time.time_ns() // 1_000_000
    with pytest.raises(OnlineStatesUnreachableError, match="Redis does not answer"):
        train(away, rows, plan=Plan(is_tried_again=True), now_ms=now_ms)
    assert ModelVersions.from_settings(away).all() == []
    outcome = train(away, rows, now_ms=now_ms)
    assert outcome.blocked
    assert [each.version for each in ModelVersions.from_settings(away).all()] == [
        outcome.version.version
    ]


def test_with_true_logs_the_same_version_is_promoted_and_says_what_was_compared(
    deployment: Deployment, true_services: Services
) -> None:
    refused = deployment.trains_a_refused_version()
    true = deployment.settings.model_copy(
        update={
            "kafka_bootstrap": true_services.kafka_bootstrap,
            "redis_url": true_services.redis_url,
            "archive_url": str(deployment.settings.data_dir / "none"),
        }
    )
    result = replace(deployment, settings=true).weir("models", "promote", refused)
    assert result.exit_code == 0, result.output
    champion = deployment.versions.champion()
    assert champion is not None
    assert champion.version == refused
    assert int(champion.tags["parity_values_checked"]) > 50_000
