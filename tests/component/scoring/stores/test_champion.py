import logging

import pytest
from prometheus_client import CollectorRegistry

from clients.errors import ModelRegistryUnreachableError, ResponseTooLargeError
from clients.mlflow_rest import MlflowRest, ModelVersion, RegisteredModel
from models.artifact.files import TREES_PATH, ModelFiles
from models.champion_log import PROMOTED, ChampionLog, tag_key
from models.heuristic import HEURISTIC
from scoring.metrics import build_metrics
from scoring.stores.champion import ChampionWatcher
from tests.builders import NOW_MS
from tests.model_files import trained, with_signature

MODEL, ALIAS = "weir-fraud", "champion"


class MemoryRegistry(MlflowRest):
    """A registry of versions in memory, with an alias, that can be away."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.versions: dict[str, ModelFiles | None] = {}
        self.alias: str | None = None
        self.tags: dict[str, str] = {}
        self.is_away = False
        self.fetched: list[str] = []
        self.fails_on_artifacts: Exception | None = None

    def add(self, version: str, files: ModelFiles | None) -> None:
        self.versions[version] = files
        self.alias = version

    def get_alias(self, *, model: str, alias: str) -> ModelVersion | None:
        assert (model, alias) == (MODEL, ALIAS)
        self._answer()
        if self.alias is None:
            return None
        files = self.versions[self.alias]
        tags = {"trees_digest": files.trees_digest} if files else {}
        return ModelVersion(MODEL, self.alias, f"run-{self.alias}", (ALIAS,), tags, NOW_MS)

    def get_model(self, *, model: str) -> RegisteredModel | None:
        assert model == MODEL
        self._answer()
        return RegisteredModel({ALIAS: self.alias} if self.alias else {}, self.tags)

    def promote(self, version: str, files: ModelFiles | None) -> None:
        """Make a version the champion as Weir does, with an entry in the log of champions."""
        self.add(version, files)
        log = ChampionLog.from_tags(self.tags, alias=ALIAS)
        before = log.newest.number if log.newest else None
        entry = log.following(version, how=PROMOTED, before=before, at_ms=NOW_MS)
        self.tags[tag_key(ALIAS, entry.number)] = entry.completed().tag_value()

    def get_version(self, *, model: str, version: str) -> ModelVersion | None:
        assert model == MODEL
        self._answer()
        if version not in self.versions:
            return None
        files = self.versions[version]
        tags = {"trees_digest": files.trees_digest} if files else {}
        return ModelVersion(MODEL, version, f"run-{version}", (), tags, NOW_MS)

    def delete(self, version: str) -> None:
        """Delete a version; MLflow deletes the aliases that point at it, too."""
        del self.versions[version]
        if self.alias == version:
            self.alias = None

    def artifact(self, *, run_id: str, path: str) -> bytes | None:
        self._answer()
        if self.fails_on_artifacts is not None:
            raise self.fails_on_artifacts
        version = run_id.removeprefix("run-")
        if path == TREES_PATH:
            self.fetched.append(version)
        files = self.versions[version]
        return files.by_path()[path] if files else None

    def _answer(self) -> None:
        if self.is_away:
            raise ModelRegistryUnreachableError("MLflow is away")


class Bench:
    def __init__(self, registry: MemoryRegistry | None = None) -> None:
        self.registry = registry or MemoryRegistry()
        self.metrics = CollectorRegistry()
        self.watcher = ChampionWatcher(
            self.registry,
            model_name=MODEL,
            alias=ALIAS,
            poll_ms=1,
            metrics=build_metrics(self.metrics),
        )

    def version_after_poll(self) -> str:
        self.watcher.poll()
        return self.watcher.current().ref.version

    def count(self, metric: str, **labels: str) -> float:
        return self.metrics.get_sample_value(metric, labels) or 0.0


@pytest.fixture
def bench() -> Bench:
    return Bench()


GOOD = trained().files
BAD = with_signature(GOOD, definition_digest="another")


def test_without_a_champion_the_heuristic_is_the_model(bench: Bench) -> None:
    bench.watcher.poll()
    assert bench.watcher.current() is HEURISTIC
    assert bench.count(
        "scoring_model_info", name="heuristic", version="rules-1", digest=HEURISTIC.ref.digest
    )


def test_a_moved_alias_is_followed_forward_and_back(bench: Bench) -> None:
    bench.registry.add("1", GOOD)
    assert bench.version_after_poll() == "1"
    bench.registry.add("2", trained(seed=8).files)
    assert bench.version_after_poll() == "2"
    bench.registry.alias = "1"
    assert bench.version_after_poll() == "1"
    assert bench.count("scoring_model_swaps_total") == 3


def test_an_alias_that_stays_is_not_fetched_again(bench: Bench) -> None:
    bench.registry.add("1", GOOD)
    for _ in range(5):
        bench.watcher.poll()
    assert bench.registry.fetched == ["1"]


def test_a_refused_version_leaves_the_last_good_one_and_is_told_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.registry.add("1", GOOD)
    bench.watcher.poll()
    bench.registry.add("2", BAD)
    with caplog.at_level(logging.WARNING):
        assert [bench.version_after_poll() for _ in range(5)] == ["1"] * 5
    assert bench.registry.fetched == ["1", "2"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "feature definitions 'another'" in caplog.text
    assert list(bench.watcher.refused()) == ["2"]
    assert bench.watcher.refused()["2"].startswith("DefinitionMismatchError: ")
    assert bench.count("scoring_models_refused_total", reason="DefinitionMismatchError") == 1


def test_after_a_refused_version_a_good_one_is_taken(bench: Bench) -> None:
    bench.registry.add("1", BAD)
    assert bench.version_after_poll() == HEURISTIC.ref.version
    bench.registry.add("2", GOOD)
    bench.watcher.poll()
    assert bench.watcher.current().ref.name == "weir-fraud"


def test_a_registry_that_is_away_changes_nothing_and_is_told_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.registry.is_away = True
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            bench.watcher.poll()
        assert bench.watcher.current() is HEURISTIC
        bench.registry.is_away = False
        bench.registry.add("1", GOOD)
        assert bench.version_after_poll() == "1"
    assert [r.levelname for r in caplog.records] == ["WARNING", "INFO", "INFO"]
    assert bench.count("scoring_registry_failures_total") == 3


def test_a_champion_survives_that_the_registry_goes_away(bench: Bench) -> None:
    bench.registry.add("1", GOOD)
    bench.watcher.poll()
    bench.registry.is_away = True
    assert bench.version_after_poll() == "1"
    bench.registry.is_away = False
    assert bench.version_after_poll() == "1"
    assert bench.registry.fetched == ["1"]


def test_a_champion_whose_alias_is_deleted_is_not_used_after_the_next_poll(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.registry.add("1", GOOD)
    bench.watcher.poll()
    bench.registry.alias = None
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            bench.watcher.poll()
            assert bench.watcher.current() is HEURISTIC
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "no version of weir-fraud has the alias champion" in caplog.text
    assert "there is no champion any more" in caplog.text
    assert bench.count("scoring_model_swaps_total") == 2
    bench.registry.is_away = True
    assert bench.version_after_poll() == HEURISTIC.ref.version
    bench.registry.is_away = False
    bench.registry.alias = "1"
    assert bench.version_after_poll() == "1"


def test_a_champion_that_is_deleted_is_not_used_after_the_next_poll(bench: Bench) -> None:
    bench.registry.add("1", GOOD)
    bench.watcher.poll()
    bench.registry.delete("1")
    bench.watcher.poll()
    assert bench.watcher.current() is HEURISTIC


def test_the_last_good_model_stays_beside_a_refused_one_until_it_is_deleted(bench: Bench) -> None:
    bench.registry.add("1", GOOD)
    bench.watcher.poll()
    bench.registry.add("2", BAD)
    assert [bench.version_after_poll() for _ in range(3)] == ["1"] * 3
    bench.registry.delete("1")
    bench.watcher.poll()
    assert bench.watcher.current() is HEURISTIC


def test_whoever_starts_beside_a_refused_champion_uses_the_one_before_like_all_others(
    bench: Bench,
) -> None:
    bench.registry.promote("1", GOOD)
    bench.registry.promote("2", trained(seed=8).files)
    bench.watcher.poll()
    # The refused one before is skipped, too.
    bench.registry.promote("3", BAD)
    bench.registry.promote("4", None)
    started = Bench(bench.registry)
    for _ in range(2):
        assert [bench.version_after_poll(), started.version_after_poll()] == ["2", "2"]
    bench.registry.delete("2")
    assert [bench.version_after_poll(), started.version_after_poll()] == ["1", "1"]
    bench.registry.delete("1")
    for each in (bench, started):
        each.watcher.poll()
        assert each.watcher.current() is HEURISTIC
    assert list(bench.watcher.refused()) == ["4", "3"]


def test_a_good_version_after_a_refused_one_ends_the_use_of_the_one_before(bench: Bench) -> None:
    bench.registry.promote("1", GOOD)
    bench.registry.promote("2", BAD)
    assert bench.version_after_poll() == "1"
    bench.registry.promote("3", trained(seed=8).files)
    assert bench.version_after_poll() == "3"
    bench.registry.alias = "2"
    assert bench.version_after_poll() == "3"


def test_a_version_whose_files_cannot_be_fetched_now_is_fetched_later(bench: Bench) -> None:
    bench.registry.add("1", GOOD)
    bench.registry.fails_on_artifacts = ModelRegistryUnreachableError("the connection broke")
    bench.watcher.poll()
    assert bench.watcher.current() is HEURISTIC
    bench.registry.fails_on_artifacts = None
    assert bench.version_after_poll() == "1"


def test_a_version_without_files_is_refused(bench: Bench) -> None:
    bench.registry.add("1", None)
    assert bench.version_after_poll() == HEURISTIC.ref.version
    assert "model weir-fraud version 1 has no file weir/trees.onnx" in bench.watcher.refused()["1"]


def test_a_version_with_a_file_that_is_too_large_is_refused(bench: Bench) -> None:
    bench.registry.add("1", GOOD)
    bench.registry.fails_on_artifacts = ResponseTooLargeError("more than 7 bytes")
    assert bench.version_after_poll() == HEURISTIC.ref.version
    assert bench.watcher.refused()["1"].startswith("SignatureMismatchError: model weir-fraud")
    assert bench.count("scoring_models_refused_total", reason="SignatureMismatchError") == 1
