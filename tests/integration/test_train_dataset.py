"""`weir train` on a data set, on a real MLflow: what it leaves, and that failures leave nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from clients.mlflow_rest import ModelVersion
from features.batch import BATCH_NAMES
from features.definitions import DAY_MS
from models.artifact.files import SIGNATURE_PATH
from models.artifact.signature import Signature
from operations.training_run.leftovers import clear_unfinished
from schemas.settings import Settings
from tests.logged_system import (
    DAYS,
    PER_DAY,
    ROWS,
    START_MS,
)
from tests.services import Services
from tests.train_command import (
    FROM,
    UNTIL,
    fails,
    nothing_is_left,
    runs_of,
    settings_of,
    train,
    versions_of,
    weir,
)
from training.fitting.choose import CLOSE
from training.registry.dataset_log import REPORT_FILE, STATISTICS_FILE, TABLE_FILE
from training.registry.mlflow_runs import TAG_UNFINISHED, UNFINISHED_MS_MAX
from training.registry.versions import ModelVersions

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*Any type hint is inferred:UserWarning",
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
)


@pytest.fixture
def settings(training_settings: Settings) -> Settings:
    return training_settings


@dataclass(frozen=True)
class Trained:
    """A model that was trained once, for the tests that only look."""

    settings: Settings
    version: ModelVersion


@pytest.fixture(scope="module")
def trained(
    true_services: Services,
    mlflow_server: Services,
    true_archive: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    data = tmp_path_factory.mktemp("data")
    settings = settings_of(true_services, mlflow_server, true_archive, data)
    done = train(settings, "--from", FROM, "--until", UNTIL)
    assert done.exit_code == 0, done.output
    (version,) = versions_of(settings)
    return Trained(settings, version)


def test_a_version_names_its_data_set_and_anyone_makes_its_very_rows_again(
    trained: Trained, tmp_path: Path
) -> None:
    settings, tags = trained.settings, trained.version.tags
    made_of = json.loads(tags["dataset_version"])
    assert (made_of["first_ms"], made_of["end_ms"]) == (START_MS, START_MS + 30 * DAY_MS)
    assert json.loads(made_of["archive"])["features"] == {"0": ROWS}
    client = mlflow.MlflowClient(settings.mlflow_tracking_uri)
    dataset = client.get_run(tags["dataset_run_id"])
    assert dataset.info.status == "FINISHED"
    assert dataset.data.params["digest"] == tags["dataset_version_digest"]
    assert dataset.data.params["rows_digest"] == tags["dataset_digest"]
    assert dataset.data.metrics["rows"] == 30 * PER_DAY == int(tags["dataset_rows"])
    paths = {entry.path for entry in client.list_artifacts(dataset.info.run_id, "dataset")}
    assert paths == {TABLE_FILE, REPORT_FILE, STATISTICS_FILE}
    assert all(TAG_UNFINISHED not in run.data.tags for run in runs_of(settings))

    report = Path(client.download_artifacts(trained.version.run_id, REPORT_FILE, str(tmp_path)))
    again = train(settings, "--dataset", str(report))
    assert again.exit_code == 0, again.output
    assert f"data set known as run {dataset.info.run_id}" in again.output
    second = versions_of(settings)[0]
    for name in ("dataset_digest", "dataset_run_id", "trees_digest"):
        assert second.tags[name] == tags[name]


def test_the_page_of_a_version_links_its_data_set_and_so_does_that_of_its_run(
    trained: Trained,
) -> None:
    settings, version = trained.settings, trained.version
    client = mlflow.MlflowClient(settings.mlflow_tracking_uri)
    page = client.get_model_version(settings.model_name, version.version).description
    run_id = version.tags["dataset_run_id"]
    experiment = client.get_run(run_id).info.experiment_id
    digest = version.tags["dataset_version_digest"]
    assert f"[{digest}](#/experiments/{experiment}/runs/{run_id})" in page
    assert "from 2026-02-16 00:00 up to 2026-03-18 00:00 UTC" in page
    (used,) = client.get_run(version.run_id).inputs.dataset_inputs
    assert used.dataset.digest == digest


def test_batch_features_are_columns_of_its_vectors(trained: Trained) -> None:
    versions = ModelVersions.from_settings(trained.settings)
    content = versions.artifact(trained.version, SIGNATURE_PATH)
    assert content is not None
    spec = Signature.read(content, of="the version").vector_spec()
    assert set(BATCH_NAMES) <= set(spec.columns)


def test_of_the_newest_days_those_that_are_old_enough_and_what_was_chosen_is_in_the_report(
    settings: Settings,
) -> None:
    done = train(settings, "--days", "20", "--as-of", "2026-03-27", "--choose")
    assert done.exit_code == 0, done.output
    (version,) = versions_of(settings)
    made_of = json.loads(version.tags["dataset_version"])
    # As of the first moment of the last day: whole days count that ended seven days before.
    assert made_of["end_ms"] == START_MS + (DAYS - 8) * DAY_MS
    assert made_of["first_ms"] == made_of["end_ms"] - 20 * DAY_MS
    assert int(version.tags["dataset_rows"]) == 20 * PER_DAY
    body = ModelVersions.from_settings(settings).artifact(version, "evaluation/report.json")
    report = json.loads(body or b"")
    assert len(report["tried"]) == 9
    best = max(tried["average_precision"] for tried in report["tried"])
    (chosen,) = (each for each in report["tried"] if report["parameters"].items() <= each.items())
    assert chosen["average_precision"] >= best - CLOSE
    assert json.loads(version.tags["parameters"])["depth_max"] == chosen["depth_max"]


@pytest.mark.parametrize("family", ["boosting", "lightgbm"])
def test_a_stratified_data_set_is_trained_as_it_is_split_and_its_version_not_promoted(
    settings: Settings, tmp_path: Path, family: str
) -> None:
    days = ("--from", FROM, "--until", UNTIL)
    built = weir(
        settings, "dataset", "build", *days, "--split", "stratified", "--out", str(tmp_path)
    )
    assert built.exit_code == 0, built.output
    parts = {name: pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("train", "test")}
    done = train(settings, "--dataset", str(tmp_path / "report.json"), "--family", family)
    assert done.exit_code == 0, done.output
    assert "a challenger, not the champion" in done.output
    (version,) = versions_of(settings)
    assert "stratified split" in version.tags["reason"]
    # The newest row of a random part is not the newest of those before the test rows.
    assert int(version.tags["fitted_until_ms"]) > parts["test"]["event_time_ms"].min()
    report = json.loads(
        ModelVersions.from_settings(settings).artifact(version, "evaluation/report.json") or b""
    )
    assert report["evaluation"]["rows"] == len(parts["test"])
    (tried,) = report["tried"]
    assert tried["family"] == json.loads(version.tags["parameters"])["family"] == family
    client = mlflow.MlflowClient(settings.mlflow_tracking_uri)
    run_id = version.tags["dataset_run_id"]
    logged = {Path(entry.path).name for entry in client.list_artifacts(run_id, "dataset")}
    assert logged == {path.name for path in tmp_path.iterdir()}
    kept = client.download_artifacts(run_id, "dataset/train.parquet", str(tmp_path / "logged"))
    pd.testing.assert_frame_equal(pd.read_parquet(kept), parts["train"])


def test_a_report_that_this_archive_does_not_bear_out_is_refused_and_leaves_nothing(
    settings: Settings, trained: Trained, tmp_path: Path
) -> None:
    versions = ModelVersions.from_settings(trained.settings)
    report = json.loads(versions.artifact(trained.version, REPORT_FILE) or b"")
    path = tmp_path / "report.json"
    for changes, said in (
        ({"rows_digest": "0" * 16}, "came out with other rows"),
        ({"version": {**report["version"], "definition_digest": "0" * 16}}, "this code computes"),
        ({"version": {"first_ms": 3}}, "is not the report of a data set"),
        ({"version": {**report["version"], "split": "odd"}}, "is not the report of a data set"),
        ({"version": None}, "is not the report of a data set"),
    ):
        path.write_text(json.dumps({**report, **changes}))
        fails(train(settings, "--dataset", str(path)), said)
    path.write_text("{")
    fails(train(settings, "--dataset", str(path)), "is not the report of a data set")
    nothing_is_left(settings)


def test_runs_that_a_version_names_lose_the_tag_and_stay(trained: Trained) -> None:
    settings = trained.settings
    # As if MLflow had died between the version and the last request.
    client = mlflow.MlflowClient(settings.mlflow_tracking_uri)
    runs = runs_of(settings)
    for run in runs:
        client.set_tag(run.info.run_id, TAG_UNFINISHED, "yes")
    later_ms = max(run.info.start_time for run in runs) + UNFINISHED_MS_MAX
    assert clear_unfinished(settings, now_ms=later_ms) == []
    assert {run.info.run_id for run in runs_of(settings)} == {run.info.run_id for run in runs}
    assert all(TAG_UNFINISHED not in run.data.tags for run in runs_of(settings))
