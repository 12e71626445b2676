"""The last good model: kept on the disk, used while the registry is away, and named as such."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from models.artifact.files import ModelFiles
from models.heuristic import HEURISTIC
from models.model import Model
from models.policy import Policy
from schemas.decision import Offset
from scoring.core.decide import decide
from scoring.core.last_good import LastGoodModel, remarks_of
from scoring.core.timed_model import TimedModel
from scoring.metrics import build_metrics
from scoring.stores.arm_models import ArmModels
from scoring.stores.champion import UNKNOWN_MS_MAX, ChampionWatcher
from scoring.stores.kept_models import DIRECTORY, KEPT_MAX, KeptModels, KeptVersion
from tests.component.scoring.stores.test_champion import ALIAS, BAD, GOOD, MODEL, MemoryRegistry
from tests.model_files import trained
from tests.rollout_steps import rollout
from tests.scoring_fakes import FixedModel, FixedSource, feature_row

OTHER = trained(seed=8).files
POLICY = Policy(review_threshold=0.5, block_threshold=0.9)
WORD = ("champion_unavailable",)


class Process:
    """A scorer or an API of a machine: it starts without a model in memory."""

    def __init__(self, registry: MemoryRegistry, disk: Path) -> None:
        self.now_ms = 0.0
        self.registry = registry
        self.kept = KeptModels(disk, model_name=MODEL)
        self.watcher = ChampionWatcher(
            registry,
            model_name=MODEL,
            alias=ALIAS,
            poll_ms=1,
            metrics=build_metrics(CollectorRegistry()),
            kept=self.kept,
            clock_ms=lambda: self.now_ms,
        )

    def poll(self) -> Model:
        self.watcher.poll()
        return self.watcher.current()

    def arms(self) -> ArmModels:
        source = FixedSource(self.watcher.current())
        return ArmModels(
            self.registry, champion=source, model_name=MODEL, clock_ms=lambda: 0.0, kept=self.kept
        )


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


def shown(model: Model) -> tuple[str, tuple[str, ...]]:
    return model.ref.version, remarks_of(model)


def test_a_process_that_starts_without_a_registry_uses_the_last_good_model_and_says_so(
    registry: MemoryRegistry, tmp_path: Path
) -> None:
    registry.add("1", GOOD)
    registry.add("2", OTHER)
    assert shown(Process(registry, tmp_path).poll()) == ("2", ())
    registry.is_away = True
    started = Process(registry, tmp_path)
    assert shown(started.poll()) == ("2", WORD)
    registry.is_away = False
    assert shown(started.poll()) == ("2", ())
    assert registry.fetched == ["2"], "the files on the disk are those of the champion"
    registry.alias = "1"
    assert shown(started.poll()) == ("1", ())


def test_without_a_champion_nothing_is_used_from_the_disk(
    registry: MemoryRegistry, tmp_path: Path
) -> None:
    registry.add("1", GOOD)
    Process(registry, tmp_path).poll()
    registry.alias = None
    assert Process(registry, tmp_path).poll() is HEURISTIC
    registry.is_away = True
    assert Process(registry, tmp_path).poll() is HEURISTIC


def test_after_a_minute_without_the_registry_decisions_say_that_the_champion_is_unknown(
    registry: MemoryRegistry, tmp_path: Path
) -> None:
    registry.add("1", GOOD)
    process = Process(registry, tmp_path)
    process.poll()
    registry.is_away = True
    process.now_ms = UNKNOWN_MS_MAX - 1
    assert shown(process.poll()) == ("1", ())
    process.now_ms = UNKNOWN_MS_MAX
    assert shown(process.poll()) == ("1", WORD)
    registry.is_away = False
    assert shown(process.poll()) == ("1", ())


def test_the_model_in_place_of_a_refused_champion_says_so(
    registry: MemoryRegistry, tmp_path: Path
) -> None:
    process = Process(registry, tmp_path)
    registry.promote("1", GOOD)
    assert shown(process.poll()) == ("1", ())
    registry.promote("2", BAD)
    assert shown(process.poll()) == ("1", WORD)
    assert process.poll() is process.watcher.current()
    registry.promote("3", OTHER)
    assert shown(process.poll()) == ("3", ())


@pytest.mark.parametrize("file", ["weir/trees.onnx", "weir/golden.json", "version.json"])
def test_a_damaged_file_on_the_disk_is_no_model(
    registry: MemoryRegistry, tmp_path: Path, file: str
) -> None:
    registry.add("1", GOOD)
    Process(registry, tmp_path).poll()
    (path,) = (tmp_path / DIRECTORY / MODEL).glob(f"1-*/{file}")
    path.write_bytes(path.read_bytes()[:-40])
    registry.is_away = True
    started = Process(registry, tmp_path)
    assert started.poll() is HEURISTIC
    arms = started.arms()
    arms.load(rollout(), wait_s=30.0)
    assert arms.of(rollout()) == {"control": None, "challenger": None}


def test_arms_come_from_the_disk_while_the_registry_is_away(
    registry: MemoryRegistry, tmp_path: Path
) -> None:
    registry.add("2", OTHER)
    registry.add("1", GOOD)
    process = Process(registry, tmp_path)
    process.poll()
    process.arms().load(rollout(), wait_s=30.0)
    registry.is_away = True
    started = Process(registry, tmp_path)
    assert shown(started.poll()) == ("1", WORD), "an arm is not the version in use"
    arms = started.arms()
    arms.load(rollout(), wait_s=30.0)
    loaded = arms.of(rollout())
    assert {name: model and shown(model) for name, model in loaded.items()} == {
        "control": ("1", ()),
        "challenger": ("2", ()),
    }


def test_old_versions_are_deleted_but_never_the_one_in_use(tmp_path: Path) -> None:
    kept = KeptModels(tmp_path, model_name=MODEL)
    files = ModelFiles(b"trees", b"signature", b"golden")
    for number in range(KEPT_MAX + 5):
        version = KeptVersion(str(number), f"run-{number}", files.trees_digest, files)
        kept.keep(version, is_in_use=number == 0)
    assert len([each for each in (tmp_path / DIRECTORY / MODEL).iterdir() if each.is_dir()]) == (
        KEPT_MAX
    )
    in_use = kept.in_use()
    assert in_use is not None
    assert (in_use.version, in_use.run_id, in_use.files) == ("0", "run-0", files)
    assert kept.of(str(KEPT_MAX + 4)) is not None


def test_a_disk_that_takes_nothing_and_a_strange_version_cost_no_decision(
    registry: MemoryRegistry, tmp_path: Path
) -> None:
    (tmp_path / DIRECTORY).write_text("in the way")
    registry.add("1", GOOD)
    assert shown(Process(registry, tmp_path).poll()) == ("1", ())
    kept = KeptModels(tmp_path / "other", model_name=MODEL)
    kept.keep(KeptVersion("../1", "run", GOOD.trees_digest, GOOD), is_in_use=True)
    assert kept.in_use() is None
    assert kept.of("../1") is None
    assert list((tmp_path).rglob("*.onnx")) == []


def test_every_decision_by_the_last_good_model_says_so() -> None:
    fixed = FixedModel(0.95)
    last_good = LastGoodModel(fixed)
    for model in (last_good, TimedModel(last_good, clock_ms=lambda: 0.0)):
        decision = decide(
            feature_row(),
            model=model,
            policy=POLICY,
            features_offset=Offset(2, 7),
            now_ms=0,
        )
        assert decision.degraded == WORD
        assert (decision.model, decision.decision) == (fixed.ref, "BLOCK")
