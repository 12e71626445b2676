"""The log of champions and rollbacks, on a real MLflow server, and what scorer and API then use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mlflow
import pytest
from mlflow.entities.model_registry import ModelVersion
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from clients.errors import ModelRegistryUnreachableError
from clients.mlflow_rest import MlflowRest
from infra.cli.main import app
from models.champion_log import ChampionLog
from models.heuristic import HEURISTIC
from scoring import wiring
from scoring.metrics import build_metrics
from scoring.stores.champion import ChampionWatcher
from tests.integration.test_registry import eventually, started
from tests.model_files import trained
from tests.services import Services, unique_name
from training.errors import NoEarlierChampionError
from training.registry.gate import PassedGate
from training.registry.register import ModelRegistry
from training.registry.versions import ModelVersions

# MLflow warns of type hints of its own when it writes a model.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")

POLL_MS = 100


@pytest.fixture(scope="module")
def registered(mlflow_server: Services) -> list[ModelVersion]:
    """Three versions as training makes them, of which all tests use the runs with their files."""
    uri, name, model = mlflow_server.mlflow_uri, unique_name("model"), trained()
    registry, client = ModelRegistry(uri, model_name=name), mlflow.MlflowClient(uri)
    made = [
        registry.register(model.forest, model.files, params={}, metrics={}, tags={}, files={})
        for _ in range(3)
    ]
    return [client.get_model_version(name, each.version) for each in made]


class Models:
    """A registered model with three versions, none of which is the champion."""

    def __init__(self, services: Services, registered: Sequence[ModelVersion]) -> None:
        self.settings = services.settings.model_copy(
            update={"model_name": unique_name("model"), "model_poll_ms": POLL_MS}
        )
        self.name = self.settings.model_name
        self.versions = ModelVersions.from_settings(self.settings)
        self.mlflow = mlflow.MlflowClient(self.settings.mlflow_tracking_uri)
        self.mlflow.create_registered_model(self.name)
        for each in registered:
            self.mlflow.create_model_version(
                self.name, source=each.source, run_id=each.run_id, tags=each.tags
            )

    def promote(self, *numbers: int) -> None:
        gate = PassedGate(rows=1, values_checked=1)
        for number in numbers:
            self.versions.promote(str(number), gate=gate, reason=f"a test of {number}")

    def move_by_hand(self, number: int) -> None:
        self.mlflow.set_registered_model_alias(self.name, "champion", str(number))

    def remove_by_hand(self) -> None:
        self.mlflow.delete_registered_model_alias(self.name, "champion")

    def delete(self, number: int) -> None:
        self.mlflow.delete_model_version(self.name, str(number))

    def champion(self) -> int | None:
        champion = self.versions.champion()
        return int(champion.version) if champion else None

    def rollbacks(self) -> list[int]:
        """Roll back until nothing is left; give the champions in their order."""
        found = []
        while True:
            try:
                found.append(int(self.versions.roll_back().now.version))
            except NoEarlierChampionError:
                return found
            assert self.champion() == found[-1]

    def told(self) -> list[tuple[str, str]]:
        return [(entry.version, entry.how) for entry in self.versions.history().entries]

    def weir(self, *arguments: str) -> str:
        environment = {
            "WEIR_MLFLOW_TRACKING_URI": self.settings.mlflow_tracking_uri,
            "WEIR_MODEL_NAME": self.name,
            "COLUMNS": "80",
        }
        result = CliRunner(env=environment).invoke(app, ["models", *arguments])
        assert result.exit_code == 0, result.output
        return result.output


@pytest.fixture
def models(mlflow_server: Services, registered: list[ModelVersion]) -> Models:
    return Models(mlflow_server, registered)


def test_rollbacks_walk_back_through_every_champion(models: Models) -> None:
    models.promote(1, 2, 3, 2)
    assert models.rollbacks() == [3, 2, 1]
    with pytest.raises(NoEarlierChampionError, match=r"no champion before version 1, so there is"):
        models.versions.roll_back()
    assert models.champion() == 1


def test_the_log_is_read_again_from_mlflow_by_every_process(models: Models) -> None:
    models.promote(1, 2)
    tags = models.mlflow.get_registered_model(models.name).tags
    assert sorted(tags) == ["champion.00001", "champion.00002"]
    assert json.loads(tags["champion.00002"])["reason"] == "a test of 2"
    log = ModelVersions.from_settings(models.settings).history()
    assert log == ChampionLog.from_tags(tags, alias="champion")


def test_an_alias_moved_by_hand_is_noticed_and_rolled_back(models: Models) -> None:
    models.promote(1, 2, 3)
    models.move_by_hand(1)
    assert models.told()[-1] == ("1", "moved outside Weir")
    assert len(models.told()) == 4, "once"
    tags = {entry.version: entry.tags["status"] for entry in models.versions.all()}
    assert tags == {"1": "champion", "2": "archived", "3": "archived"}
    models.promote(2)
    assert models.rollbacks() == [1, 3, 2, 1]


def test_a_move_by_hand_is_noticed_by_a_promotion_and_by_a_rollback(models: Models) -> None:
    models.promote(1, 2)
    models.move_by_hand(1)
    models.promote(3)
    assert models.told()[-2:] == [("1", "moved outside Weir"), ("3", "promoted")]
    models.move_by_hand(2)
    assert models.versions.roll_back().now.version == "3"
    assert models.told()[-2:] == [("2", "moved outside Weir"), ("3", "rolled back to")]


def test_a_version_that_never_passed_the_gate_is_not_rolled_back_to(models: Models) -> None:
    models.promote(1)
    models.move_by_hand(3)
    models.promote(2)
    done = models.versions.roll_back()
    assert done.now.version == "1"
    assert done.skipped == ("version 3 never passed the parity gate",)


def test_a_version_moved_by_hand_that_passes_the_gate_later_may_return(models: Models) -> None:
    models.move_by_hand(3)
    models.promote(3, 2)
    assert models.rollbacks() == [3]


def test_a_deleted_version_is_skipped_and_named(models: Models) -> None:
    models.promote(1, 2, 3)
    models.delete(2)
    said = models.weir("rollback")
    assert "skipped: version 2 was deleted" in said
    assert "version 1 is the champion again, version 3 is rolled back" in said
    models.delete(3)
    with pytest.raises(NoEarlierChampionError, match="no champion before version 1"):
        models.versions.roll_back()


def test_a_deleted_version_between_two_terms_of_another_is_skipped(models: Models) -> None:
    models.promote(1, 2, 3, 2)
    models.delete(3)
    done = models.versions.roll_back()
    assert done.now.version == "1", "2 is the champion already"
    assert done.skipped == ("version 3 was deleted",)


def test_the_champion_itself_is_deleted(models: Models) -> None:
    models.promote(1, 2)
    models.delete(2)
    assert models.told()[-1] == ("", "removed outside Weir")
    done = models.versions.roll_back()
    assert (done.left, done.now.version) == (None, "1")
    assert done.skipped == ("version 2 was deleted",)


def test_when_nothing_can_return_the_refusal_says_why(models: Models) -> None:
    models.promote(1, 2, 3)
    models.delete(1)
    models.versions.tag("2", {"definition_digest": "another"})
    why = (
        r"before version 3 that could return \(version 2 was fitted on other feature definitions; "
        r"version 1 was deleted\).*`weir models promote VERSION`"
    )
    with pytest.raises(NoEarlierChampionError, match=why):
        models.versions.roll_back()
    assert models.champion() == 3


def test_a_version_without_files_is_skipped(models: Models, monkeypatch: Any) -> None:
    models.promote(1, 2, 3)
    gone = models.versions.get("2").run_id
    artifact = MlflowRest.artifact
    monkeypatch.setattr(
        MlflowRest,
        "artifact",
        lambda self, *, run_id, path: (
            None if run_id == gone else artifact(self, run_id=run_id, path=path)
        ),
    )
    done = models.versions.roll_back()
    assert done.now.version == "1"
    assert "version 2 has lost its files" in done.skipped[0]


class KilledError(Exception):
    """Stands for the end of the process."""


def killed_at(monkeypatch: pytest.MonkeyPatch, method: str, nth: int = 1) -> Iterator[None]:
    """Let the nth call of a method of the client be the end of the process."""
    original = getattr(MlflowRest, method)
    calls = iter(range(1, 100))

    def call(self: MlflowRest, **fields: str) -> Any:
        if next(calls) == nth:
            raise KilledError
        return original(self, **fields)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowRest, method, call)
        yield


BEFORE_THE_ENTRY = ("set_model_tag", 1)
BEFORE_THE_ALIAS = ("set_alias", 1)
AFTER_THE_ALIAS = ("set_model_tag", 2)


def killed(
    monkeypatch: pytest.MonkeyPatch, at: tuple[str, int], step: Callable[[], object]
) -> None:
    for _ in killed_at(monkeypatch, *at):
        with pytest.raises(KilledError):
            step()


@pytest.mark.parametrize("at", [BEFORE_THE_ENTRY, BEFORE_THE_ALIAS, AFTER_THE_ALIAS])
def test_a_promotion_killed_at_any_point_happened_in_full_or_not_at_all(
    models: Models, monkeypatch: pytest.MonkeyPatch, at: tuple[str, int]
) -> None:
    models.promote(1, 2)
    killed(monkeypatch, at, lambda: models.promote(3))
    told = [("1", "promoted"), ("2", "promoted")]
    if at == AFTER_THE_ALIAS:
        told.append(("3", "promoted"))
    assert models.told() == told
    assert models.rollbacks() == ([2, 1] if at == AFTER_THE_ALIAS else [1])


@pytest.mark.parametrize("at", [BEFORE_THE_ENTRY, BEFORE_THE_ALIAS, AFTER_THE_ALIAS])
def test_a_rollback_killed_at_any_point_happened_in_full_or_not_at_all(
    models: Models, monkeypatch: pytest.MonkeyPatch, at: tuple[str, int]
) -> None:
    models.promote(1, 2, 3)
    killed(monkeypatch, at, models.versions.roll_back)
    assert models.champion() == (2 if at == AFTER_THE_ALIAS else 3)
    assert models.rollbacks() == ([1] if at == AFTER_THE_ALIAS else [2, 1])


def test_the_commands_show_the_log_at_80_columns(models: Models) -> None:
    models.promote(1, 2)
    models.move_by_hand(3)
    listed, shown = models.weir("list"), models.weir("history")
    assert all(len(line) <= 80 for line in (listed + shown).splitlines())
    assert "version 3 is the champion, moved outside Weir" in listed
    rows = [line.split() for line in shown.splitlines()[1:]]
    assert [row[2] for row in rows] == ["3", "2", "1"]
    assert rows[1][3:] == ["promoted", "1", "a", "test", "of", "2"], shown
    entries = [json.loads(line) for line in models.weir("history", "--json").splitlines()]
    assert [(entry["version"], entry["rollback"]) for entry in entries] == [
        ("3", None),
        ("2", 1),
        ("1", 2),
    ]
    versions = [json.loads(line) for line in models.weir("list", "--json").splitlines()]
    assert [(one["version"], one["aliases"]) for one in versions] == [
        ("3", ["champion"]),
        ("2", []),
        ("1", []),
    ]
    models.remove_by_hand()
    assert "no version is the champion: the heuristic decides" in models.weir("list")


# --- what scorer and API use -----------------------------------------------------------------


def two_watchers(models: Models) -> tuple[ChampionWatcher, ChampionWatcher]:
    """The watchers of a scorer and of an API, built as their processes build them."""

    def one() -> ChampionWatcher:
        return wiring.build_models(
            models.settings,
            registry=wiring.build_registry(models.settings),
            metrics=build_metrics(CollectorRegistry()),
        )

    return one(), one()


@pytest.mark.parametrize("how", ["alias", "version"])
def test_a_champion_that_is_taken_away_is_used_by_neither_after_the_next_poll(
    models: Models, how: str
) -> None:
    models.promote(1, 2)
    scorer, api = two_watchers(models)
    with started(scorer), started(api):
        assert scorer.current().ref.version == api.current().ref.version == "2"
        if how == "alias":
            models.remove_by_hand()
        else:
            models.delete(2)
        for watcher in (scorer, api):
            eventually(lambda watcher=watcher: watcher.current() is HEURISTIC)
        models.versions.roll_back()
        back = "2" if how == "alias" else "1"
        for watcher in (scorer, api):
            eventually(lambda watcher=watcher: watcher.current().ref.version == back)


def test_a_registry_that_does_not_answer_keeps_the_model(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.promote(1)
    scorer, _ = two_watchers(models)
    scorer.poll()

    def away(*_: object, **__: object) -> tuple[int, bytes]:
        raise ModelRegistryUnreachableError("away")

    monkeypatch.setattr(MlflowRest, "_send", away)
    scorer.poll()
    assert scorer.current().ref.version == "1"
