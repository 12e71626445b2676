"""`weir rollout` on a real Kafka and a real MLflow: what it does, says and refuses."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from infra.cli.main import app
from infra.local.topics import create_topics
from operations.rollouts.controller.changes import FollowedChanges
from operations.rollouts.controller.follow import RolloutController
from operations.rollouts.rollback import take_back
from schemas.rollout import CONTROLLER, RolloutChange
from schemas.settings import Settings, environment_of
from schemas.topics import ROLLOUTS
from scoring.stores.rollout_log import RolloutLog
from scoring.wiring import build_rollout_commands
from tests.house import pages
from tests.house.commands import written_commands
from tests.model_files import trained, with_golden, with_signature
from tests.services import Services, unique_name
from training.registry.gate import PassedGate
from training.registry.register import ModelRegistry
from training.registry.versions import ModelVersions

# MLflow warns of type hints of its own when it writes a model.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")

BAD, OTHER_DEFINITIONS = "4", "5"


@dataclass(frozen=True)
class Deployment:
    """A model with a champion, version 1, and a log of rollouts that other tests share."""

    settings: Settings
    rollout_id: str

    def weir(self, *arguments: str) -> Result:
        return self.run(["rollout", *arguments])

    def run(self, words: list[str]) -> Result:
        """Run any command of `weir`."""
        environment = {**environment_of(self.settings), "COLUMNS": "300", "USER": "tess"}
        return CliRunner(env=environment).invoke(app, words)

    def done(self, *arguments: str) -> str:
        result = self.weir(*arguments)
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    def refused(self, *arguments: str) -> str:
        before = self.changes()
        result = self.weir(*arguments)
        assert result.exit_code == 2, result.output
        assert self.changes() == before, "nothing has changed"
        return " ".join(result.output.split())

    def start(self, strategy: str = "ab", *more: str, challenger: str = "2") -> str:
        options = ("--strategy", strategy, "--challenger", challenger, *more)
        return self.done("start", self.rollout_id, *options)

    def changes(self) -> list[RolloutChange]:
        log = RolloutLog(self.settings.kafka_bootstrap, source="/test")
        return log.read().changes(self.rollout_id)

    @property
    def versions(self) -> ModelVersions:
        return ModelVersions.from_settings(self.settings)


@pytest.fixture(scope="module")
def model_settings(
    kafka: Services, mlflow_server: Services, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    create_topics(kafka.kafka_bootstrap, kafka.settings.topic_partitions)
    settings = kafka.settings.model_copy(
        update={
            "mlflow_tracking_uri": mlflow_server.mlflow_uri,
            "model_name": unique_name("model"),
            "data_dir": tmp_path_factory.mktemp("data"),
        }
    )
    registry = ModelRegistry(settings.mlflow_tracking_uri, model_name=settings.model_name)
    good = trained()
    for files in (
        good.files,
        trained(seed=8).files,
        good.files,
        with_golden(good.files, scores=[0.123] * 200),
        with_signature(good.files, definition_digest="another"),
    ):
        registry.register(good.forest, files, params={}, metrics={}, tags={}, files={})
    versions = ModelVersions.from_settings(settings)
    versions.tag(OTHER_DEFINITIONS, {"definition_digest": "another"})
    versions.promote("1", gate=PassedGate(rows=1, values_checked=1), reason="a test")
    return settings


@pytest.fixture
def deployment(model_settings: Settings) -> Iterator[Deployment]:
    each = Deployment(model_settings, unique_name("r"))
    yield each
    changes = each.changes()
    if changes and changes[-1].rollout.is_active:
        each.done("abort", each.rollout_id)


def test_a_canary_is_started_paused_resumed_and_aborted(deployment: Deployment) -> None:
    name = deployment.rollout_id
    told = deployment.start("canary", "--stages", "5,50,100", "--stage-time", "2h", "--by", "ana")
    assert f"{name}, revision 1: running, stage 1 of 3: control 95 %, challenger 5 %" in told
    assert "why: started by hand. Said by ana." in told
    assert "next: The next stage gives the challenger 50 %: not before" in told
    told = deployment.done("pause", name, "--why", "the labels are late")
    assert "why: the labels are late. Said by" in told
    assert f"until `weir rollout resume {name}`" in told
    assert "running, stage 1 of 3" in deployment.done("resume", name)
    assert "aborted, stage 1 of 3: control 100 %, challenger 0 %" in deployment.done("abort", name)
    told = deployment.done("status", name)
    assert "why: aborted by hand" in told
    assert [change.rollout.status for change in deployment.changes()] == [
        "running",
        "paused",
        "running",
        "aborted",
    ]


def test_status_and_list_speak_json(deployment: Deployment) -> None:
    deployment.start("ab", "--share", "30")
    found = json.loads(deployment.done("status", deployment.rollout_id, "--json"))
    assert [arm["share"] for arm in found["arms"]] == [0.7, 0.3]
    assert found["changes"][0]["reason"] == "started by hand"
    lines = deployment.weir("list", "--json").output.splitlines()
    (mine,) = [each for each in map(json.loads, lines) if each["rollout_id"] == found["rollout_id"]]
    assert mine["why"] == found["why"]


def test_blue_green_is_switched_and_switched_back_by_one_command(deployment: Deployment) -> None:
    name = deployment.rollout_id
    deployment.start("blue_green")
    assert "control 0 %, green 100 %" in deployment.done("switch", name)
    assert "control 100 %, green 0 %" in deployment.done("switch", name)
    assert "control 0 %, green 100 %" in deployment.done("switch", name, "--to", "green")


def test_parameters_come_from_a_file_and_options_go_before_it(
    deployment: Deployment, tmp_path: Path
) -> None:
    path = tmp_path / "parameters.json"
    path.write_text('{"plan": {"alpha": 0.01, "stages_bp": [1, 10000]}, "limits": {"slow_ms": 9}}')
    deployment.start("canary", "--parameters", str(path), "--stages", "10,100")
    (change,) = deployment.changes()
    assert change.rollout.plan.alpha == 0.01
    assert change.rollout.plan.stages_bp == (1_000, 10_000)
    assert change.rollout.limits.slow_ms == 9


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("ab", "99"), "version is '99': model"),
        (("ab", "1"), "which is the champion: nothing to compare"),
        (("ab", BAD), "version is 4, which the scorer refuses"),
        (("ab", OTHER_DEFINITIONS), "version is 5, fitted on feature definitions another"),
        (("ab", "2", "--share", "100"), "an arm without traffic"),
        (("ab", "2", "--share", "0.001"), "--share 0.001 must be 0 to 100"),
        (("canary", "2", "--stages", "50,5,100"), "must rise"),
        (("canary", "2", "--stages", "5,x"), "--stages 'x' is not a number of percent"),
        (("bandit", "a=2", "--challenger", "3"), "several versions need a name each"),
        (("roulette", "2"), "strategy is 'roulette', must be one of canary"),
    ],
)
def test_a_start_that_makes_no_sense_changes_nothing(
    deployment: Deployment, options: tuple[str, ...], told: str
) -> None:
    strategy, challenger, *more = options
    arguments = ("--strategy", strategy, "--challenger", challenger, *more)
    assert told in deployment.refused("start", deployment.rollout_id, *arguments)


def test_a_second_active_rollout_is_refused(deployment: Deployment) -> None:
    deployment.start()
    second = ("start", unique_name("r"), "--strategy", "ab", "--challenger", "2")
    assert f"whose traffic the rollout {deployment.rollout_id} splits" in deployment.refused(
        *second
    )


def test_without_a_champion_there_is_nothing_to_compare(deployment: Deployment) -> None:
    name = unique_name("model")
    none = Deployment(
        deployment.settings.model_copy(update={"model_name": name}), deployment.rollout_id
    )
    told = none.refused("start", none.rollout_id, "--strategy", "ab", "--challenger", "2")
    assert f"champion is missing: no version of {name} has the alias champion" in told


@pytest.mark.parametrize("command", ["pause", "resume", "switch", "abort", "rollback", "promote"])
def test_an_unknown_rollout_is_named(deployment: Deployment, command: str) -> None:
    assert "there is no rollout 'nobody'" in deployment.refused(command, "nobody")


def test_a_rollback_ends_an_active_rollout(deployment: Deployment) -> None:
    deployment.start()
    told = deployment.done("rollback", deployment.rollout_id, "--why", "too slow")
    assert "rolled_back: control 100 %, challenger 0 %" in told
    assert "has ended and no new version of it is the champion" in deployment.refused(
        "rollback", deployment.rollout_id
    )


def test_a_rollback_after_the_end_returns_to_the_champion_before(deployment: Deployment) -> None:
    deployment.start()
    deployment.versions.promote("2", gate=PassedGate(rows=1, values_checked=1), reason="a test")
    commands = build_rollout_commands(deployment.settings, source="/test")
    commands.complete(deployment.rollout_id, winner="challenger", by="ana", reason="it is better")
    assert "version 2 (challenger) won" in deployment.done("status", deployment.rollout_id)
    told = deployment.done("rollback", deployment.rollout_id, "--why", "it blocks too much")
    assert told == "version 1 is the champion again, version 2 is rolled back"
    told = deployment.done("status", deployment.rollout_id)
    assert "rolled_back: control 100 %" in told
    assert "why: it blocks too much. Said by tess" in told
    assert "status is rolled_back" in deployment.refused("rollback", deployment.rollout_id)


def test_a_rollback_after_another_promotion_changes_nothing(deployment: Deployment) -> None:
    ended_with_a_champion(deployment)
    deployment.versions.promote("3", gate=PassedGate(rows=1, values_checked=1), reason="a test")
    told = deployment.refused("rollback", deployment.rollout_id)
    assert "champion is not version 2 of" in told
    assert "version 3 is" in told
    deployment.versions.roll_back()
    deployment.done("rollback", deployment.rollout_id)


# --- over HTTP, by the controller ----------------------------------------------------------


def ended_with_a_champion(deployment: Deployment) -> None:
    """Version 2 wins a rollout and is the champion."""
    deployment.start()
    deployment.versions.promote("2", gate=PassedGate(rows=1, values_checked=1), reason="a test")
    commands = build_rollout_commands(deployment.settings, source="/test")
    commands.complete(deployment.rollout_id, winner="challenger", by="ana", reason="it is better")


def asked_over_http(deployment: Deployment) -> None:
    commands = build_rollout_commands(deployment.settings, source="/test")
    commands.ask_to_roll_back(deployment.rollout_id, by="ana", reason="it blocks too much")


def answered(deployment: Deployment) -> RolloutChange:
    """The newest change, after the controller has answered what was asked."""
    controller = RolloutController(deployment.settings, read_s=0.0)
    with FollowedChanges(deployment.settings.kafka_bootstrap, ROLLOUTS) as changes:
        assert changes.asked_back(deployment.settings.model_name) is not None
        controller.step(changes)
        controller.step(changes)
    return deployment.changes()[-1]


def test_the_controller_takes_a_winner_back_when_a_person_asks(deployment: Deployment) -> None:
    ended_with_a_champion(deployment)
    asked_over_http(deployment)
    change = answered(deployment)
    assert (change.rollout.status, change.changed_by) == ("rolled_back", CONTROLLER)
    assert "version 1 is the champion again" in change.reason
    assert [each.changed_by for each in deployment.changes()][-2:] == ["ana", CONTROLLER]
    assert champion_of(deployment) == "1"


def test_a_controller_that_was_killed_after_the_champion_moved_goes_back_no_further(
    deployment: Deployment,
) -> None:
    ended_with_a_champion(deployment)
    asked_over_http(deployment)
    take_back(deployment.settings, deployment.changes()[-1].rollout)
    assert champion_of(deployment) == "1"
    change = answered(deployment)
    assert change.rollout.status == "rolled_back"
    assert champion_of(deployment) == "1"


def test_the_controller_says_why_it_does_not_take_a_winner_back(deployment: Deployment) -> None:
    ended_with_a_champion(deployment)
    asked_over_http(deployment)
    deployment.versions.promote("3", gate=PassedGate(rows=1, values_checked=1), reason="a test")
    change = answered(deployment)
    assert (change.rollout.status, change.rollout.takes_back) == ("completed", False)
    assert "Not taken back: champion is not version 2 of" in change.reason
    assert champion_of(deployment) == "3"
    deployment.versions.roll_back()
    deployment.done("rollback", deployment.rollout_id)
    assert champion_of(deployment) == "1"


def champion_of(deployment: Deployment) -> str:
    champion = deployment.versions.champion()
    assert champion is not None
    return champion.version


# --- docs/rollouts.md ----------------------------------------------------------------------

PAGE = "docs/rollouts.md"
RUNBOOK = "## Rollback runbook"


def commands_of(text: str) -> list[list[str]]:
    """The commands of the programs on a page or a part of it, in their order."""
    return [
        shlex.split(written)
        for language, code in pages.fences(text)
        if language == "sh"
        for written in written_commands(code)
    ]


def test_the_commands_on_the_page_do_what_it_says(deployment: Deployment) -> None:
    tutorial, _, _ = pages.page(PAGE).partition(RUNBOOK)
    ran = 0
    for words in commands_of(tutorial):
        result = deployment.run(words)
        # The broker of the tests has no feature log that parity could be 0 on.
        is_gated = words[:2] == ["rollout", "promote"] and "control" not in words
        assert (result.exit_code == 0) != is_gated, f"{words}: {result.output}"
        ran += 1
    assert ran > 15


def test_the_runbook_takes_versions_back(deployment: Deployment) -> None:
    _, _, runbook = pages.page(PAGE).partition(RUNBOOK)
    gate = PassedGate(rows=1, values_checked=1)
    steps = re.split(r"\n\*\*\d\. ", runbook)[1:]
    assert len(steps) == 7
    for number, step in enumerate(steps, start=1):
        name = unique_name("r")
        mine = Deployment(deployment.settings, name)
        if commands_of(step) and number > 1:
            mine.start("blue_green" if number == 4 else "ab")
        if number == 4:
            mine.done("switch", name)
        if number == 5:
            mine.versions.promote("2", gate=gate, reason="a test")
            commands = build_rollout_commands(mine.settings, source="/test")
            commands.complete(name, winner="challenger", by="ana", reason="better")
        if number == 6:
            mine.versions.promote("3", gate=gate, reason="a test")
        for words in commands_of(step):
            result = mine.run([name if word == "NAME" else word for word in words])
            assert result.exit_code == 0, f"{words}: {result.output}"
        champion = mine.versions.champion()
        assert champion is not None
        assert champion.version == "1", f"after step {number}"
        changes = mine.changes()
        if changes and changes[-1].rollout.is_active:
            shares = {arm.name: arm.share_bp for arm in changes[-1].rollout.arms}
            assert number == 3 or shares["control"] == 10_000
            mine.done("abort", name)
