"""`weir train` on a data set, on a real MLflow: what it leaves, and that failures leave nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
from mlflow.exceptions import MlflowException
from requests.adapters import HTTPAdapter
from typer.testing import CliRunner, Result

from clients.errors import ModelRegistryUnreachableError
from clients.mlflow_rest import ModelVersion
from features.batch import BATCH_NAMES
from features.definitions import DAY_MS, HOUR_MS
from infra.cli.main import app
from models.artifact.files import SIGNATURE_PATH
from models.artifact.signature import Signature
from operations.training_run.leftovers import clear_unfinished
from schemas.codec import encode_label
from schemas.label import Label
from schemas.settings import Settings, environment_of
from schemas.topics import FEATURES, LABELS
from tests.logged_system import (
    DAYS,
    PER_DAY,
    ROWS,
    START_MS,
    STEP_MS,
    LoggedSystem,
    write_archive,
)
from tests.services import Services, unique_name
from training.archive.store import ArchiveTable
from training.registry.dataset_log import REPORT_FILE, STATISTICS_FILE, TABLE_FILE, experiment_name
from training.registry.mlflow_runs import TAG_UNFINISHED, UNFINISHED_MS_MAX
from training.registry.versions import ModelVersions

FROM, UNTIL = "2026-02-16", "2026-03-18"
"""The first thirty days."""

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*Any type hint is inferred:UserWarning",
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
)


def label_bytes(n: int) -> bytes:
    """The report that transaction n is fraud."""
    time_ms = START_MS + n * STEP_MS
    return encode_label(Label(f"t{n}", "m-1", time_ms, time_ms + HOUR_MS, is_fraud=True))


def settings_of(services: Services, mlflow: Services, archive_url: str, data: Path) -> Settings:
    """A registered model of its own, on the logs and the archive that all tests read."""
    return services.settings.model_copy(
        update={
            "mlflow_tracking_uri": mlflow.mlflow_uri,
            "model_name": unique_name("model"),
            "archive_url": archive_url,
            "data_dir": data,
            "topic_partitions": 1,
        }
    )


@pytest.fixture(scope="module")
def archive_url(true_system: LoggedSystem, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An archive of the logs, which no test of this module writes to."""
    url = str(tmp_path_factory.mktemp("archive"))
    true_system.archive(url)
    return url


@pytest.fixture
def settings(
    true_services: Services, mlflow_server: Services, archive_url: str, tmp_path: Path
) -> Settings:
    """A registered model of this test's own."""
    return settings_of(true_services, mlflow_server, archive_url, tmp_path / "data")


def weir(settings: Settings, *arguments: str) -> Result:
    environment = {**environment_of(settings), "COLUMNS": "300"}
    return CliRunner(env=environment).invoke(app, list(arguments))


def train(settings: Settings, *arguments: str) -> Result:
    return weir(settings, "train", *arguments)


def fails(result: Result, *parts: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: "), result.output
    for part in parts:
        assert part in result.stderr


def runs_of(settings: Settings) -> list[mlflow.entities.Run]:
    """All runs that there are of the model and its data sets, whatever their state."""
    client = mlflow.MlflowClient(settings.mlflow_tracking_uri)
    names = (settings.model_name, experiment_name(settings))
    found = [client.get_experiment_by_name(name) for name in names]
    ids = [experiment.experiment_id for experiment in found if experiment is not None]
    return list(client.search_runs(ids)) if ids else []


def versions_of(settings: Settings) -> list[ModelVersion]:
    return ModelVersions.from_settings(settings).all()


def nothing_is_left(settings: Settings) -> None:
    assert versions_of(settings) == []
    assert runs_of(settings) == []


@dataclass(frozen=True)
class Trained:
    """A model that was trained once, for the tests that only look."""

    settings: Settings
    version: ModelVersion


@pytest.fixture(scope="module")
def trained(
    true_services: Services,
    mlflow_server: Services,
    archive_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    data = tmp_path_factory.mktemp("data")
    settings = settings_of(true_services, mlflow_server, archive_url, data)
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
    done = train(settings, "--days", "20", "--choose")
    assert done.exit_code == 0, done.output
    (version,) = versions_of(settings)
    made_of = json.loads(version.tags["dataset_version"])
    # The archive ends within its last day; seven days before that, whole days begin to count.
    assert made_of["end_ms"] == START_MS + (DAYS - 8) * DAY_MS
    assert made_of["first_ms"] == made_of["end_ms"] - 20 * DAY_MS
    assert int(version.tags["dataset_rows"]) == 20 * PER_DAY
    body = ModelVersions.from_settings(settings).artifact(version, "evaluation/report.json")
    report = json.loads(body or b"")
    assert len(report["tried"]) == 9
    best = max(report["tried"], key=lambda tried: tried["average_precision"])
    assert {**report["parameters"], "average_precision": best["average_precision"]} == best
    assert json.loads(version.tags["parameters"])["depth_max"] == best["depth_max"]


# --- what is refused leaves nothing ------------------------------------------------------


def test_an_empty_range_is_refused_and_leaves_nothing(settings: Settings) -> None:
    fails(train(settings, "--from", UNTIL, "--until", FROM), "give a later end")
    fails(train(settings, "--from", FROM, "--until", FROM), "give a later end")
    nothing_is_left(settings)


def test_a_range_without_rows_is_refused_and_leaves_nothing(settings: Settings) -> None:
    fails(train(settings, "--from", "2025-01-01", "--until", "2025-02-01"), "none of them from")
    nothing_is_left(settings)


def test_a_missing_label_table_is_named_and_leaves_nothing(
    settings: Settings, true_system: LoggedSystem, tmp_path: Path
) -> None:
    url = str(tmp_path / "archive")
    write_archive(url, FEATURES, true_system.features[:400])
    settings = settings.model_copy(update={"archive_url": url})
    for options in (("--from", FROM, "--until", UNTIL), ("--days", "9"), ("--source", "archive")):
        fails(train(settings, *options), f"{url}/labels", "weir archive rebuild")
    nothing_is_left(settings)


def test_a_missing_label_file_is_named_and_leaves_nothing(
    settings: Settings, true_system: LoggedSystem, tmp_path: Path
) -> None:
    url = str(tmp_path / "archive")
    write_archive(url, FEATURES, true_system.features[:400])
    write_archive(url, LABELS, [label_bytes(7)])
    (lost,) = (Path(path) for path in ArchiveTable(url, LABELS).files())
    lost.unlink()
    settings = settings.model_copy(update={"archive_url": url})
    said = (f"{url}/labels is missing", lost.name, "weir archive rebuild")
    fails(train(settings, "--from", FROM, "--until", UNTIL), *said)
    nothing_is_left(settings)


def test_a_data_set_of_one_class_is_refused_and_leaves_nothing(
    settings: Settings, true_system: LoggedSystem, tmp_path: Path
) -> None:
    url = str(tmp_path / "archive")
    write_archive(url, FEATURES, true_system.features)
    write_archive(url, LABELS, [label_bytes(ROWS - 1)])
    settings = settings.model_copy(update={"archive_url": url})
    fails(train(settings, "--from", FROM, "--until", UNTIL), "0 of 900 rows are fraud")
    nothing_is_left(settings)


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
        ({"version": None}, "is not the report of a data set"),
    ):
        path.write_text(json.dumps({**report, **changes}))
        fails(train(settings, "--dataset", str(path)), said)
    path.write_text("{")
    fails(train(settings, "--dataset", str(path)), "is not the report of a data set")
    nothing_is_left(settings)


# --- MLflow that goes away ---------------------------------------------------------------


@dataclass
class Connection:
    """What MLflow's client reaches its server by."""

    is_cut: bool = False

    def cut(self) -> None:
        self.is_cut = True


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Connection:
    """For MLflow's client alone; who looks has another one."""
    # Trying again for long is for the real world.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    connection = Connection()
    original = HTTPAdapter.send

    def send(*arguments: Any, **named: Any) -> Any:
        if connection.is_cut:
            raise requests.ConnectionError("connection refused")
        return original(*arguments, **named)

    monkeypatch.setattr(HTTPAdapter, "send", send)
    return connection


def before(monkeypatch: pytest.MonkeyPatch, method: str, happens: Callable[[], None]) -> None:
    """Let something happen just before the first call of a method of MLflow's client."""
    original = getattr(mlflow.MlflowClient, method)
    calls = iter([happens])

    def called(*arguments: object, **named: object) -> object:
        for once in calls:
            once()
        return original(*arguments, **named)

    monkeypatch.setattr(mlflow.MlflowClient, method, called)


@pytest.mark.parametrize("method", ["create_model_version", "log_artifacts"])
def test_what_a_dead_mlflow_kept_is_taken_away_by_a_later_training(
    settings: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    before(monkeypatch, method, connection.cut)
    result = train(settings, "--from", FROM, "--until", UNTIL)
    fails(result, "did not take the", settings.mlflow_tracking_uri)
    connection.is_cut = False
    # Nobody was there to be told.
    left = runs_of(settings)
    assert versions_of(settings) == []
    assert left
    assert all(run.data.tags[TAG_UNFINISHED] == "yes" for run in left)
    begun_ms = [run.info.start_time for run in left]
    an_hour_after_ms = min(begun_ms) + UNFINISHED_MS_MAX
    assert clear_unfinished(settings, now_ms=an_hour_after_ms - 1) == []
    swept = clear_unfinished(settings, now_ms=max(begun_ms) + UNFINISHED_MS_MAX)
    assert set(swept) == {run.info.run_id for run in left}
    nothing_is_left(settings)


def test_a_version_whose_answer_was_lost_is_taken_away_with_its_run_and_data_set(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = mlflow.MlflowClient.create_model_version

    def loses_its_answer(*arguments: object, **named: object) -> None:
        original(*arguments, **named)
        raise MlflowException("the connection was reset")

    monkeypatch.setattr(mlflow.MlflowClient, "create_model_version", loses_its_answer)
    fails(train(settings, "--from", FROM, "--until", UNTIL), "the champion is unchanged")
    nothing_is_left(settings)


def test_a_data_set_that_was_there_before_stays_when_a_training_fails(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = weir(settings, "dataset", "build", "--from", FROM, "--until", UNTIL)
    assert built.exit_code == 0, built.output
    (run,) = runs_of(settings)
    with monkeypatch.context() as broken:
        broken.setattr(mlflow.MlflowClient, "create_model_version", _refuses)
        fails(train(settings, "--from", FROM, "--until", UNTIL), "the champion is unchanged")
    assert [left.info.run_id for left in runs_of(settings)] == [run.info.run_id]
    assert versions_of(settings) == []


def _refuses(*_: object, **__: object) -> None:
    raise MlflowException("the server went away")


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


def test_an_alias_that_cannot_be_moved_leaves_a_whole_version_that_nobody_points_at(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelVersions, "promote", _unmoved)
    fails(train(settings, "--from", FROM, "--until", UNTIL), "the server went away")
    (version,) = versions_of(settings)
    assert (version.tags["status"], version.aliases) == ("registered", ())
    assert version.tags["reason"].startswith("there is no champion yet")


def _unmoved(*_: object, **__: object) -> None:
    raise ModelRegistryUnreachableError("the server went away")
