"""The versions of arms: loaded once, refused once, asked for again if the registry is away."""

from __future__ import annotations

import pytest

from models.heuristic import HEURISTIC
from schemas.rollout import Rollout
from scoring.stores.arm_models import LOADING_MS_MAX, POLLS_BETWEEN_TRIES, ArmModels
from tests.component.scoring.stores.test_champion import MODEL, MemoryRegistry
from tests.model_files import trained, with_golden
from tests.rollout_steps import rollout
from tests.scoring_fakes import FixedModel, FixedSource

WAIT_S = 30.0


class Registry(MemoryRegistry):
    """A registry whose versions have the tags that the scorer checks."""

    def get_version(self, *, model: str, version: str):  # type: ignore[no-untyped-def]
        found = super().get_version(model=model, version=version)
        files = self.versions.get(version)
        if found is not None and files is not None:
            found.tags["trees_digest"] = files.trees_digest  # type: ignore[index]
        return found


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    registry.add("1", trained().files)
    registry.add("2", trained(seed=8).files)
    registry.add("3", with_golden(trained().files, scores=[0.123] * 200))
    return registry


class Clock:
    """A clock that stands still."""

    now_ms = 0.0

    def __call__(self) -> float:
        return self.now_ms


def arms(registry: Registry, clock: Clock | None = None) -> ArmModels:
    champion = FixedSource(HEURISTIC)
    return ArmModels(registry, champion=champion, model_name=MODEL, clock_ms=clock or Clock())


def versions(of: ArmModels, at: Rollout) -> dict[str, str | None]:
    return {name: model and model.ref.version for name, model in of.of(at).items()}


def test_versions_are_loaded_once(registry: Registry) -> None:
    of, at = arms(registry), rollout()
    assert versions(of, at) == {"control": None, "challenger": None}
    assert of.is_due(at)
    of.load(at, wait_s=WAIT_S)
    assert versions(of, at) == {"control": "1", "challenger": "2"}
    assert not of.is_due(at)
    assert registry.fetched == ["1", "2"]
    of.forget()
    assert versions(of, at) == {"control": None, "challenger": None}


def test_the_champions_model_is_used_for_its_version(registry: Registry) -> None:
    champion = FixedModel(0.5, version="1")
    champion.ref = champion.ref.__class__(MODEL, "1", "d")
    of = ArmModels(registry, champion=FixedSource(champion), model_name=MODEL, clock_ms=Clock())
    of.load(rollout(), wait_s=WAIT_S)
    assert of.of(rollout())["control"] is champion
    assert registry.fetched == ["2"]


@pytest.mark.parametrize(("version", "why"), [("3", "GoldenRowsMismatch"), ("9", "no version 9")])
def test_a_refused_version_is_not_asked_for_again(
    registry: Registry, version: str, why: str
) -> None:
    of, at = arms(registry), rollout(challengers={"challenger": version})
    of.load(at, wait_s=WAIT_S)
    assert versions(of, at) == {"control": "1", "challenger": None}
    assert why in of.refused[version]
    assert not any(of.is_due(at) for _ in range(2 * POLLS_BETWEEN_TRIES))


def test_a_version_that_the_registry_does_not_give_is_asked_for_now_and_then(
    registry: Registry,
) -> None:
    of, at = arms(registry), rollout()
    registry.is_away = True
    of.load(at, wait_s=WAIT_S)
    assert [of.is_due(at) for _ in range(POLLS_BETWEEN_TRIES)] == [
        *[False] * (POLLS_BETWEEN_TRIES - 1),
        True,
    ]
    registry.is_away = False
    of.load(at, wait_s=WAIT_S)
    assert versions(of, at) == {"control": "1", "challenger": "2"}


def test_another_rollout_is_loaded_at_once_and_the_versions_of_the_last_one_are_dropped(
    registry: Registry,
) -> None:
    of, first = arms(registry), rollout()
    of.load(first, wait_s=WAIT_S)
    registry.add("4", trained(seed=8).files)
    second = rollout(rollout_id="r-2", challengers={"challenger": "4"})
    assert of.is_due(second)
    of.load(second, wait_s=WAIT_S)
    assert versions(of, second) == {"control": "1", "challenger": "4"}
    assert versions(of, first) == {"control": "1", "challenger": None}


def test_a_rollout_waits_for_a_version_that_the_registry_does_not_give_but_not_for_ever(
    registry: Registry,
) -> None:
    clock = Clock()
    of, first, second = arms(registry, clock), rollout(), rollout(rollout_id="r-2")
    assert of.must_wait(first)
    registry.is_away = True
    of.load(first, wait_s=WAIT_S)
    clock.now_ms = LOADING_MS_MAX - 1
    assert of.must_wait(first)
    clock.now_ms = LOADING_MS_MAX
    assert not of.must_wait(first)
    assert of.must_wait(second), "each rollout has its own time"
    registry.is_away = False
    of.load(second, wait_s=WAIT_S)
    assert not of.must_wait(second)


def test_a_rollout_does_not_wait_for_a_refused_version(registry: Registry) -> None:
    of, at = arms(registry), rollout(challengers={"challenger": "3"})
    assert of.must_wait(at)
    of.load(at, wait_s=WAIT_S)
    assert not of.must_wait(at)
