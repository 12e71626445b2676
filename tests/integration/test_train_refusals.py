"""`weir train` that is refused, or that MLflow leaves alone: it leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
from mlflow.exceptions import MlflowException
from requests.adapters import HTTPAdapter

from clients.errors import ModelRegistryUnreachableError
from features.definitions import HOUR_MS
from operations.training_run.leftovers import clear_unfinished
from schemas.codec import encode_label
from schemas.label import Label
from schemas.settings import Settings
from schemas.topics import FEATURES, LABELS
from tests.logged_system import (
    ROWS,
    START_MS,
    STEP_MS,
    LoggedSystem,
    write_archive,
)
from tests.train_command import (
    FROM,
    UNTIL,
    fails,
    nothing_is_left,
    runs_of,
    train,
    versions_of,
    weir,
)
from training.archive.store import ArchiveTable
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


def label_bytes(n: int) -> bytes:
    """The report that transaction n is fraud."""
    time_ms = START_MS + n * STEP_MS
    return encode_label(Label(f"t{n}", "m-1", time_ms, time_ms + HOUR_MS, is_fraud=True))


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
    for options in (
        ("--from", FROM, "--until", UNTIL),
        ("--days", "9", "--as-of", "2026-03-08"),
        ("--source", "archive"),
    ):
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
    # MLflow did not answer, so nothing could be deleted.
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


def test_an_alias_that_cannot_be_moved_leaves_a_whole_version_that_no_alias_points_at(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelVersions, "promote", _unmoved)
    fails(train(settings, "--from", FROM, "--until", UNTIL), "the server went away")
    (version,) = versions_of(settings)
    assert (version.tags["status"], version.aliases) == ("registered", ())
    assert version.tags["reason"].startswith("there is no champion yet")


def _unmoved(*_: object, **__: object) -> None:
    raise ModelRegistryUnreachableError("the server went away")
