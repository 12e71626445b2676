"""The champion, from training's side to the scorer's, through a real MLflow server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import mlflow
import pytest
from prometheus_client import CollectorRegistry

from clients.errors import ModelRegistryUnreachableError
from clients.mlflow_rest import MlflowRest
from features.definitions import DEFINITION_DIGEST
from models.artifact.files import ModelFiles
from models.heuristic import HEURISTIC
from scoring.metrics import build_metrics
from scoring.stores.champion import ChampionWatcher
from tests.model_files import Trained, trained, with_golden, with_signature
from tests.services import Services, unique_name
from training.errors import (
    NoEarlierChampionError,
    NoSuchVersionError,
    OtherDefinitionsVersionError,
)
from training.registry.gate import PassedGate
from training.registry.mlflow_runs import check_reachable
from training.registry.register import ModelRegistry, RegisteredModelVersion
from training.registry.versions import ModelVersions

# MLflow warns of type hints of its own when it writes a model.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")

ALIAS = "champion"
POLL_MS = 200
SEEN_WITHIN_S = 10.0
"""What the scorer promises: a moved alias decides within 10 s."""
WITHIN_S = 60.0
"""How long anything else may take on a busy machine."""

GATE = PassedGate(rows=1, values_checked=1)


class Loop:
    """Both ends of one registered model: what training writes and what the scorer sees."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.name = unique_name("model")
        self.training = ModelRegistry(uri, model_name=self.name)
        self.versions = ModelVersions(
            uri, model_name=self.name, champion_alias=ALIAS, challenger_alias="challenger"
        )

    def register(self, model: Trained, files: ModelFiles | None = None) -> RegisteredModelVersion:
        """Register and make champion, whatever the figures are."""
        registered = self.training.register(
            model.forest,
            files or model.files,
            params={"seed": 7},
            metrics={"test_auc": 0.9},
            tags={"code_version": "abc"},
            files={"evaluation/report.json": b"{}"},
        )
        self.versions.promote(registered.version, gate=GATE, reason="a test")
        return registered

    def move_alias(self, version: str) -> None:
        mlflow.MlflowClient(self.uri).set_registered_model_alias(self.name, ALIAS, version)

    def watcher(self, registry: MlflowRest | None = None) -> ChampionWatcher:
        return ChampionWatcher(
            registry or MlflowRest(self.uri),
            model_name=self.name,
            alias=ALIAS,
            poll_ms=POLL_MS,
            metrics=build_metrics(CollectorRegistry()),
        )


@pytest.fixture
def loop(mlflow_server: Services) -> Loop:
    return Loop(mlflow_server.mlflow_uri)


@contextmanager
def started(watcher: ChampionWatcher) -> Iterator[ChampionWatcher]:
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop()


def eventually(is_so: Callable[[], bool], *, within_s: float = WITHIN_S) -> None:
    deadline_s = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline_s, f"not so after {within_s} s"
        time.sleep(0.05)


def test_a_moved_alias_decides_within_10_s_without_a_restart(loop: Loop) -> None:
    with started(loop.watcher()) as watcher:
        assert watcher.current() is HEURISTIC
        first = loop.register(trained())
        eventually(lambda: watcher.current().ref.version == first.version, within_s=SEEN_WITHIN_S)
        assert watcher.current().ref.digest == first.trees_digest
        second = loop.register(trained(seed=8))
        eventually(lambda: watcher.current().ref.version == second.version, within_s=SEEN_WITHIN_S)
        loop.move_alias(first.version)
        eventually(lambda: watcher.current().ref.version == first.version, within_s=SEEN_WITHIN_S)


BROKEN = {
    "GoldenRowsMismatchError": with_golden(trained().files, scores=[0.123] * 200),
    "SignatureMismatchError": replace(trained().files, golden=b"{"),
    "DefinitionMismatchError": with_signature(trained().files, definition_digest="another"),
}


@pytest.mark.parametrize("error", BROKEN)
def test_a_broken_version_is_refused_and_the_last_good_one_goes_on(loop: Loop, error: str) -> None:
    good = loop.register(trained())
    watcher = loop.watcher()
    watcher.poll()
    bad = loop.register(trained(), BROKEN[error])
    watcher.poll()
    assert watcher.current().ref.version == good.version
    assert watcher.refused()[bad.version].startswith(error)
    # The API, or a scorer, that starts now uses the same: the log of champions names it.
    late = loop.watcher()
    late.poll()
    assert late.current().ref == watcher.current().ref


def test_trees_changed_after_registration_are_refused(loop: Loop) -> None:
    good = loop.register(trained())
    watcher = loop.watcher()
    watcher.poll()
    bad = loop.register(trained(seed=8))
    tag = ("trees_digest", good.trees_digest)
    mlflow.MlflowClient(loop.uri).set_model_version_tag(loop.name, bad.version, *tag)
    watcher.poll()
    assert watcher.current().ref.version == good.version
    assert "changed after it was registered" in watcher.refused()[bad.version]


def test_a_version_that_somebody_else_registered_is_refused_for_its_missing_files(
    loop: Loop,
) -> None:
    client = mlflow.MlflowClient(loop.uri)
    run = client.create_run(client.create_experiment(loop.name))
    client.create_registered_model(loop.name)
    source = f"runs:/{run.info.run_id}/model"
    version = client.create_model_version(loop.name, source, run_id=run.info.run_id).version
    loop.move_alias(version)
    watcher = loop.watcher()
    watcher.poll()
    assert watcher.current() is HEURISTIC
    assert "has no file weir/trees.onnx" in watcher.refused()[str(version)]


def test_a_version_without_a_run_is_refused_for_its_missing_files(loop: Loop) -> None:
    client = mlflow.MlflowClient(loop.uri)
    client.create_registered_model(loop.name)
    version = client.create_model_version(loop.name, "s3://elsewhere/model").version
    loop.move_alias(version)
    watcher = loop.watcher()
    watcher.poll()
    assert watcher.current() is HEURISTIC
    assert "has no file weir/trees.onnx" in watcher.refused()[str(version)]


def test_no_such_model_and_no_such_alias_are_no_champion_rather_than_an_outage(loop: Loop) -> None:
    registry = MlflowRest(loop.uri)
    assert registry.get_alias(model=loop.name, alias=ALIAS) is None
    mlflow.MlflowClient(loop.uri).create_registered_model(loop.name)
    assert registry.get_alias(model=loop.name, alias=ALIAS) is None


def test_mlflow_down_at_start_means_the_heuristic_until_it_is_there(loop: Loop) -> None:
    good = loop.register(trained())
    with front_door(loop.uri) as (door, open_door):
        registry = MlflowRest(door)
        with started(loop.watcher(registry)) as watcher:
            assert watcher.current() is HEURISTIC
            open_door.set()
            eventually(lambda: watcher.current().ref.version == good.version)
            open_door.clear()
            with pytest.raises(ModelRegistryUnreachableError):
                registry.get_alias(model=loop.name, alias=ALIAS)
            watcher.poll()
            assert watcher.current().ref.version == good.version


def test_a_server_that_is_no_mlflow_is_an_outage() -> None:
    outage = pytest.raises(ModelRegistryUnreachableError)
    with front_door("http://127.0.0.1:1") as (door, _), outage:
        MlflowRest(door).get_alias(model="m", alias=ALIAS)


def test_training_says_at_once_that_mlflow_is_away_and_the_champion_unchanged() -> None:
    with pytest.raises(ModelRegistryUnreachableError, match="the champion is unchanged"):
        check_reachable("http://127.0.0.1:1")


def test_what_is_registered_is_for_people_too(loop: Loop) -> None:
    registered = loop.register(trained())
    client = mlflow.MlflowClient(loop.uri)
    run = client.get_run(registered.run_id)
    assert run.data.params == {"seed": "7"}
    assert run.data.metrics == {"test_auc": 0.9}
    assert run.info.status == "FINISHED"
    paths = {entry.path for entry in client.list_artifacts(registered.run_id)}
    assert paths == {"evaluation", "model", "weir"}
    version = client.get_model_version_by_alias(loop.name, ALIAS)
    assert version.source == f"runs:/{registered.run_id}/model"
    assert version.tags == {
        "code_version": "abc",
        "definition_digest": DEFINITION_DIGEST,
        "trees_digest": registered.trees_digest,
        "status": "champion",
        "reason": "a test",
        "parity_values_checked": "1",
    }


def test_a_failure_on_the_way_leaves_no_version_and_no_run(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = loop.register(trained())
    monkeypatch.setattr(mlflow.MlflowClient, "create_model_version", _fails)
    with pytest.raises(ModelRegistryUnreachableError, match="the champion is unchanged"):
        loop.register(trained(seed=8))
    client = mlflow.MlflowClient(loop.uri)
    assert [entry.version for entry in loop.versions.all()] == [champion.version]
    experiment = client.get_experiment_by_name(loop.name)
    assert [run.info.run_id for run in client.search_runs([experiment.experiment_id])] == [
        champion.run_id
    ]


def _fails(*_: object, **__: object) -> None:
    raise mlflow.exceptions.MlflowException("the server went away")


def test_a_promotion_archives_the_champion_and_rollbacks_go_back_one_by_one(loop: Loop) -> None:
    first, second, third = (loop.register(trained(seed=seed)) for seed in (7, 8, 9))
    assert statuses(loop) == {
        first.version: "archived",
        second.version: "archived",
        third.version: "champion",
    }
    for earlier, left in ((second, third), (first, second)):
        done = loop.versions.roll_back()
        assert (done.left, done.now.version) == (left.version, earlier.version)
        assert champion_of(loop) == earlier.version
        assert loop.versions.get(left.version).tags["status"] == "rolled back"
    with pytest.raises(NoEarlierChampionError, match=f"no champion before version {first.version}"):
        loop.versions.roll_back()


def test_what_is_not_there_or_would_be_refused_is_not_promoted(loop: Loop) -> None:
    with pytest.raises(NoEarlierChampionError, match="no champion in its history"):
        loop.versions.roll_back()
    assert loop.versions.all() == []
    first, second = (loop.register(trained(seed=seed)) for seed in (7, 8))
    with pytest.raises(NoSuchVersionError, match="has no version '99'"):
        loop.versions.promote("99", gate=GATE, reason="a test")
    loop.versions.tag(first.version, {"definition_digest": "another"})
    with pytest.raises(OtherDefinitionsVersionError, match="the scorer would refuse it"):
        loop.versions.promote(first.version, gate=GATE, reason="a test")
    other = f"version {first.version} was fitted on other feature definitions"
    with pytest.raises(NoEarlierChampionError, match=other):
        loop.versions.roll_back()
    assert champion_of(loop) == second.version


def test_a_challenger_that_is_promoted_is_no_challenger_any_more(loop: Loop) -> None:
    first, second = (loop.register(trained(seed=seed)) for seed in (7, 8))
    loop.versions.roll_back()
    loop.versions.name_challenger(second.version, reason="not better")
    aliases = {entry.version: set(entry.aliases) for entry in loop.versions.all()}
    assert aliases == {first.version: {ALIAS}, second.version: {"challenger"}}
    loop.versions.promote(second.version, gate=GATE, reason="a test")
    aliases = {entry.version: set(entry.aliases) for entry in loop.versions.all()}
    assert aliases == {first.version: set(), second.version: {ALIAS}}


def test_versions_say_that_mlflow_is_away() -> None:
    away = ModelVersions(
        "http://127.0.0.1:1", model_name="m", champion_alias=ALIAS, challenger_alias="challenger"
    )
    with pytest.raises(ModelRegistryUnreachableError, match="start the stack"):
        away.champion()


@contextmanager
def front_door(uri: str) -> Iterator[tuple[str, threading.Event]]:
    """A server that answers 503 while its door is closed and redirects nothing: it asks ``uri``.

    Stands in for an MLflow that is down and comes up, without stopping the session's server.
    """
    import urllib.error
    import urllib.request

    is_open = threading.Event()

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = 503, b"<html>away</html>"
            if is_open.is_set():
                try:
                    with urllib.request.urlopen(uri + self.path) as answer:
                        status, body = answer.status, answer.read()
                except urllib.error.HTTPError as error:
                    status, body = error.code, error.read()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", is_open
    finally:
        server.shutdown()
        server.server_close()


def champion_of(loop: Loop) -> str:
    champion = loop.versions.champion()
    return champion.version if champion else ""


def statuses(loop: Loop) -> dict[str, str]:
    return {entry.version: entry.tags["status"] for entry in loop.versions.all()}
