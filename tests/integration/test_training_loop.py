"""From a labelled table to the model that decides, with a real MLflow and the real scorer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, groupby
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from kafka import KafkaProducer
from typer.testing import CliRunner

from clients.errors import ModelRegistryUnreachableError
from features.definitions import DEFINITION_DIGEST
from infra.cli.main import app
from operations.training_run.request import Plan
from operations.training_run.run import TrainingOutcome, train_on
from schemas.output_codec import encode_feature_row
from schemas.settings import Settings, environment_of
from schemas.topics import FEATURE_ROW_TYPE, cloud_event_headers
from scoring.worker.batch import Channels
from tests.builders import NOW_MS
from tests.model_files import training_table
from tests.scoring_fakes import feature_row
from tests.services import Services, unique_name
from tests.topic_tail import Tail, tail
from tests.worker_process import running_worker
from training.datasets.split import split_by_time
from training.fitting.fit import ForestParameters
from training.registry.versions import ModelVersions

# MLflow warns of type hints of its own when it writes a model.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")

SERVED_WITHIN_S = 60.0
"""Promised are 10 s; the rest is for a machine that does other things, too."""
ROWS_A_SECOND = 100
WEAK = ForestParameters(trees=3, depth_max=2)
STRONG = ForestParameters(trees=30, depth_max=8)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return training_table(2_000)


@pytest.fixture
def settings(mlflow_server: Services, true_services: Services, tmp_path: Path) -> Settings:
    """A registered model of this test's own, and logs with which parity is 0."""
    return true_services.settings.model_copy(
        update={
            "mlflow_tracking_uri": mlflow_server.mlflow_uri,
            "model_name": unique_name("model"),
            "data_dir": tmp_path / "data",
            "archive_url": str(tmp_path / "archive"),
        }
    )


def train(
    table: pd.DataFrame,
    settings: Settings,
    parameters: ForestParameters = STRONG,
    *,
    is_challenger: bool = False,
) -> TrainingOutcome:
    plan = Plan(parameters=parameters, seed=3, is_challenger=is_challenger)
    return train_on(table, settings, plan=plan, about={"maturity_ms": 0})


def shuffled(table: pd.DataFrame) -> pd.DataFrame:
    """Labels that mean nothing where a model learns them, and are true where it is judged."""
    older = split_by_time(table).fitted.index
    worse = table.copy()
    order = np.random.default_rng(5).permutation(len(older))
    worse.loc[older, "is_fraud"] = table.loc[older, "is_fraud"].to_numpy()[order]
    return worse


def test_a_worse_model_is_refused_a_better_one_serves_and_a_rollback_takes_it_back(
    true_services: Services, settings: Settings, table: pd.DataFrame, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"worker_metrics_port": 0})
    channels = Channels(
        group=unique_name("scorer"),
        features=true_services.new_topic("features"),
        decisions=true_services.new_topic("decisions"),
        dead_letters=true_services.new_topic("dead-letters"),
    )
    with (
        tail(settings.kafka_bootstrap, channels.decisions) as decisions,
        running_worker(settings, channels, tmp_path / "worker.log"),
    ):
        with traffic(settings, channels) as sent:
            decides(decisions, "heuristic")
            weak = train(table, settings, WEAK)
            assert weak.verdict.promotes, weak.verdict.reason
            decides(decisions, weak.version.version)

            # As good as the next one, but it was asked for as a challenger.
            held_back = train(table, settings, is_challenger=True)
            assert not held_back.verdict.promotes
            assert "asked for as a challenger" in held_back.verdict.reason

            strong = train(table, settings)
            assert strong.verdict.promotes, strong.verdict.reason
            decides(decisions, strong.version.version)

            bad = train(shuffled(table), settings)
            assert not bad.verdict.promotes
            assert "not better by more than noise" in bad.verdict.reason

            said = weir(settings, "models", "rollback")
            assert f"version {weak.version.version} is the champion again" in said
            decides(decisions, weak.version.version)
            said = weir(settings, "models", "promote", strong.version.version)
            assert f"version {weak.version.version} is archived" in said
            decides(decisions, strong.version.version)
        decisions.until(lambda seen: len(seen) >= len(sent), within_ms=60_000)
    found = list(decisions.objects())
    assert [decision["transaction_id"] for decision in found] == sent
    versions = [who for who, _ in groupby(named(decision) for decision in found)]
    one, two = weak.version.version, strong.version.version
    assert versions == ["heuristic", one, two, one, two]
    digests = {named(decision): decision["model"]["digest"] for decision in found}
    assert digests[one] == weak.version.trees_digest
    assert digests[two] == strong.version.trees_digest
    assert bad.version.version in weir(settings, "models", "list")


def named(decision: dict[str, Any]) -> str:
    model = decision["model"]
    return "heuristic" if model["name"] == "heuristic" else str(model["version"])


def decides(decisions: Tail, who: str) -> None:
    """Wait until the newest decision is by this version; print how long that took."""
    started_s = time.monotonic()
    decisions.until(
        lambda seen: bool(seen) and named(json.loads(seen[-1].value)) == who,
        within_ms=round(SERVED_WITHIN_S * 1_000),
    )
    print(f"decided by {who} after {time.monotonic() - started_s:.1f} s")


def weir(settings: Settings, *arguments: str) -> str:
    result = CliRunner(env={**environment_of(settings), "COLUMNS": "300"}).invoke(
        app, list(arguments)
    )
    assert result.exit_code == 0, result.output
    return result.output


@contextmanager
def traffic(settings: Settings, channels: Channels) -> Iterator[list[str]]:
    """Feature rows at a steady rate for the time of a block; the ids, complete at its end."""
    sent: list[str] = []
    stopping = threading.Event()

    def send() -> None:
        producer = KafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
        for number in count():
            if stopping.wait(1 / ROWS_A_SECOND):
                break
            transaction_id = f"{channels.group}-{number}"
            headers = cloud_event_headers(
                event_type=FEATURE_ROW_TYPE, event_id=str(number), source="/test", time_ms=NOW_MS
            )
            producer.send(
                channels.features,
                key=b"u",
                value=encode_feature_row(feature_row(transaction_id)),
                headers=list(headers),
            )
            sent.append(transaction_id)
        producer.close()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        stopping.set()
        thread.join()


def test_a_version_says_where_it_comes_from_and_shows_its_figures(
    settings: Settings, table: pd.DataFrame
) -> None:
    outcome = train(table, settings)
    again = train(table, settings)
    assert not again.verdict.promotes
    versions = ModelVersions.from_settings(settings)
    first, second = (versions.get(each.version.version) for each in (outcome, again))
    assert first.tags["definition_digest"] == DEFINITION_DIGEST
    for name in ("code_version", "dataset_digest", "vector_digest", "fitted_until_ms"):
        assert first.tags[name] == second.tags[name]
    assert json.loads(first.tags["parameters"])["depth_max"] == STRONG.depth_max
    assert (first.tags["status"], second.tags["status"]) == ("champion", "challenger")
    assert second.tags["reason"] == again.verdict.reason
    client = mlflow.MlflowClient(settings.mlflow_tracking_uri)
    artifacts = {entry.path for entry in client.list_artifacts(first.run_id, "evaluation")}
    assert artifacts == {
        f"evaluation/{name}"
        for name in ("calibration.png", "importance.png", "precision_recall.png", "report.json")
    }
    report = json.loads(versions.artifact(second, "evaluation/report.json") or b"")
    assert report["comparison"]["difference"]["average_precision"]["value"] == 0.0
    metrics = client.get_run(first.run_id).data.metrics
    low, value, high = (metrics[f"test_auc{suffix}"] for suffix in ("_low", "", "_high"))
    assert low < value < high


def test_an_mlflow_that_is_away_stops_it_before_anything_is_fitted(table: pd.DataFrame) -> None:
    away = Settings(mlflow_tracking_uri="http://127.0.0.1:1")
    nothing_to_fit = table.iloc[:0]
    with pytest.raises(ModelRegistryUnreachableError, match="does not answer"):
        train(nothing_to_fit, away)
