"""Stories of rollouts on the whole system: traffic, labels that come late, and kills.

One stack and one stream of traffic for all. Each test is a rollout from its start to its end.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from clients.kafka_log import read_log
from infra.cli.main import app
from schemas import topics
from schemas.rollout import CONTROLLER, Rollout, RolloutChange
from schemas.rollout_state import RolloutSnapshot
from schemas.settings import Settings, environment_of
from scoring.core.rollout_changes import Author, started
from scoring.core.rollout_request import read_start
from scoring.core.rollouts import Assigner
from scoring.stores.rollout_commands import RolloutCommands
from scoring.stores.rollout_log import RolloutLog
from scoring.stores.rollout_state import RolloutStateLog
from scoring.wiring import build_rollout_commands
from tests.labelled_traffic import LabelledTraffic
from tests.model_files import Trained, trained
from tests.rollout_decisions import decisions, recounted
from tests.rollout_models import suspicious, unsure
from tests.services import Services, unique_name
from training.registry.gate import PassedGate
from training.registry.register import ModelRegistry
from training.registry.versions import ModelVersions

# MLflow warns of type hints of its own when it writes a model.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")

RATE = 150.0
WITHIN_S = 180.0
CONTROLLER_PROGRAM = "rollout-controller"
PLAN: dict[str, Any] = {
    "stages_bp": [3_000, 5_000, 10_000],
    "stage_ms_min": 500,
    "stage_decisions_min": 40,
    "matured_decisions_min": 40,
    "label_maturity_ms": 2_000,
    "label_silence_ms_max": 0,
}
LENIENT = {"slow_ms": 5_000, "outcome_change_max": 0.5, "score_change_max": 0.9}
# On a busy machine MLflow may need longer than the scorer waits; the arm is not available so long.
PATIENT = {**LENIENT, "error_share_max": 0.9}
"""Limits for a busy machine and two random models: nothing but a real fault breaks them."""


@dataclass
class Story:
    """The stack with its traffic.

    Attributes:
        begin: time before its first rollout, ISO 8601 in UTC.
    """

    services: Services
    settings: Settings
    traffic: LabelledTraffic
    champion: str
    good: str
    bad: str
    begin: str

    @property
    def commands(self) -> RolloutCommands:
        return build_rollout_commands(self.settings, source="/test")

    def start(self, strategy: str, challenger: str, **parts: Any) -> str:
        rollout_id = unique_name("r")
        start = {
            "rollout_id": rollout_id,
            "strategy": strategy,
            "challenger": challenger,
            "plan": PLAN,
            "limits": LENIENT,
            **parts,
        }
        self.commands.start(read_start(start), by="tess", reason="a story")
        return rollout_id

    def changes(self, rollout_id: str) -> list[RolloutChange]:
        return self.commands.changes(rollout_id)

    def rollout(self, rollout_id: str) -> Rollout:
        return self.changes(rollout_id)[-1].rollout

    def snapshot(self, rollout_id: str) -> RolloutSnapshot | None:
        return RolloutStateLog(self.settings.kafka_bootstrap).newest(rollout_id)

    def counted(self, rollout_id: str) -> int:
        found = self.snapshot(rollout_id)
        return 0 if found is None else sum(arm.decisions for arm in found.reading.arms)

    def until(self, is_so: Callable[[], bool], what: str, *, within_s: float = WITHIN_S) -> None:
        deadline_s = time.monotonic() + within_s
        while not is_so():
            assert time.monotonic() < deadline_s, f"{what}: not within {within_s} s"
            time.sleep(0.2)

    def ended(self, rollout_id: str) -> RolloutChange:
        self.until(lambda: not self.rollout(rollout_id).is_active, "the end of the rollout")
        return self.changes(rollout_id)[-1]

    def kill_controller(self) -> None:
        assert self.services.stack is not None
        os.kill(self.services.stack.pid(CONTROLLER_PROGRAM), signal.SIGKILL)

    def weir(self, *arguments: str) -> str:
        environment = {**environment_of(self.settings), "COLUMNS": "200"}
        result = CliRunner(env=environment).invoke(app, list(arguments))
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())


def registered(settings: Settings, model: Trained) -> str:
    """The number of a new version."""
    registry = ModelRegistry(settings.mlflow_tracking_uri, model_name=settings.model_name)
    return registry.register(
        model.forest, model.files, params={}, metrics={}, tags={}, files={}
    ).version


@pytest.fixture(scope="module")
def story(weir_stack: Services) -> Iterator[Story]:
    settings = weir_stack.settings
    champion, good, bad = (
        registered(settings, each) for each in (trained(), trained(seed=8), suspicious())
    )
    ModelVersions.from_settings(settings).promote(
        champion, gate=PassedGate(rows=1, values_checked=1), reason="a test"
    )
    with LabelledTraffic(
        settings.kafka_bootstrap, rate=RATE, users=500, label_after_s=0.5
    ) as traffic:
        begin = datetime.now(UTC).isoformat()
        yield Story(weir_stack, settings, traffic, champion, good, bad, begin)


@pytest.fixture(autouse=True)
def _nothing_stays_active(story: Story) -> Iterator[None]:
    """A test that fails leaves no rollout in the way of the next one."""
    yield
    active = story.commands.read().active(story.settings.model_name)
    if active is not None:
        story.commands.abort(active.rollout.rollout_id, by="tess", reason="the test has ended")


def assert_counted_once(story: Story, rollout_id: str) -> None:
    snapshot = story.snapshot(rollout_id)
    assert snapshot is not None
    wanted = recounted(story.settings, snapshot)
    for arm in snapshot.reading.arms:
        counts = wanted[arm.name]
        assert (arm.decisions, arm.errors) == (counts["decisions"], counts["errors"])
        assert arm.outcomes == {name: counts[name] for name in arm.outcomes}
    assert sum(each["decisions"] for each in wanted.values()) > 0


def test_a_good_canary_is_promoted_though_the_controller_is_killed_at_each_stage(
    story: Story,
) -> None:
    rollout_id = story.start("canary", story.good, limits=PATIENT)
    for stage in range(len(PLAN["stages_bp"])):
        story.until(lambda: story.rollout(rollout_id).stage >= stage, f"stage {stage}")  # noqa: B023
        story.kill_controller()
    last = story.ended(rollout_id)
    assert last.rollout.status == "completed", last.reason
    assert last.changed_by == CONTROLLER
    champion = ModelVersions.from_settings(story.settings).champion()
    assert champion is not None
    assert champion.version == story.good
    assert [change.rollout.stage for change in story.changes(rollout_id)] == [0, 1, 2, 2]
    assert_counted_once(story, rollout_id)
    said = story.weir("rollout", "rollback", rollout_id)
    assert f"version {story.champion} is the champion again" in said


def test_a_canary_whose_scores_differ_is_rolled_back_by_itself(story: Story) -> None:
    limits = {"slow_ms": 5_000, "outcome_change_max": 0.05, "score_change_max": 0.05}
    rollout_id = story.start("canary", story.bad, limits=limits)
    last = story.ended(rollout_id)
    assert last.rollout.status == "rolled_back"
    assert any(guard in last.reason for guard in ("guard outcomes", "guard scores")), last.reason
    assert_counted_once(story, rollout_id)


def test_a_canary_with_like_scores_and_another_mix_of_outcomes_is_rolled_back_by_itself(
    story: Story,
) -> None:
    """The thresholds are the deployment's, so the scores of both versions are close to one."""
    review = story.settings.review_threshold
    below, above = (registered(story.settings, unsure(about=review + by)) for by in (-0.01, 0.01))
    versions = ModelVersions.from_settings(story.settings)
    versions.promote(below, gate=PassedGate(rows=1, values_checked=1), reason="a test")
    # Without the cut-off at the threshold, which tells of the outcomes.
    limits = {**PATIENT, "outcome_change_max": 0.05, "score_change_max": 0.05}
    rollout_id = story.start("canary", above, limits={**limits, "score_cutoffs": [0.1, 0.9]})
    try:
        last = story.ended(rollout_id)
    finally:
        assert versions.roll_back().now.version == story.champion
    assert last.rollout.status == "rolled_back"
    assert "broke the guard outcomes" in last.reason
    assert "Also broken" not in last.reason
    found = story.snapshot(rollout_id)
    assert found is not None
    control, challenger = found.reading.arms
    assert challenger.mean_score == pytest.approx(control.mean_score, abs=0.05)
    assert (control.outcomes["REVIEW"], challenger.outcomes["APPROVE"]) == (0, 0)
    assert_counted_once(story, rollout_id)


def test_a_canary_that_is_too_slow_is_rolled_back_by_itself(story: Story) -> None:
    rollout_id = story.start("canary", story.good, limits={**LENIENT, "slow_ms": 0})
    last = story.ended(rollout_id)
    assert last.rollout.status == "rolled_back"
    assert "broke the guard slow" in last.reason


def test_a_canary_whose_version_fails_is_rolled_back_by_itself(story: Story) -> None:
    """The version is gone after the start, which had checked it."""
    rollout_id = unique_name("r")
    asked = read_start(
        {
            "rollout_id": rollout_id,
            "strategy": "canary",
            "challenger": "999",
            "plan": PLAN,
            "limits": LENIENT,
        }
    )
    author = Author("tess", "a story", time.time_ns() // 1_000_000, unique_name("c"))
    change = started(asked, author, model_name=story.settings.model_name, control=story.champion)
    RolloutLog(story.settings.kafka_bootstrap, source="/test").write(change)
    last = story.ended(rollout_id)
    assert last.rollout.status == "rolled_back"
    assert "broke the guard errors" in last.reason


def test_an_ab_test_says_what_a_product_manager_understands(story: Story) -> None:
    rollout_id = story.start("ab", story.good)

    def has_labels() -> bool:
        found = story.snapshot(rollout_id)
        return found is not None and all(arm.mature_decisions > 50 for arm in found.reading.arms)

    story.until(has_labels, "decisions with mature labels")
    said = story.weir("rollout", "status", rollout_id)
    for part in (
        "recommendation:",
        "Decisions of the arms:",
        "The control lost",
        "such a difference",
    ):
        assert part in said
    story.weir("rollout", "abort", rollout_id)
    assert_counted_once(story, rollout_id)


def test_blue_green_switches_and_returns(story: Story) -> None:
    rollout_id = story.start("blue_green", story.good)
    for arm, command in (("control", ()), ("green", ("switch",)), ("control", ("switch",))):
        if command:
            story.weir("rollout", *command, rollout_id)
        begin = len(story.traffic.sent)
        story.until(lambda: arm in arms_since(story, rollout_id, begin), f"decisions of {arm}")  # noqa: B023
    story.weir("rollout", "abort", rollout_id)


def arms_since(story: Story, rollout_id: str, begin: int) -> set[str]:
    """The arms that decided on transactions after the first ``begin``."""
    later = set(story.traffic.sent[begin:])
    return {
        decision["arm"]
        for _, _, decision in decisions(story.settings)
        if decision["rollout"]["id"] == rollout_id and decision["transaction_id"] in later
    }


def test_a_shadow_scores_beside_and_decides_nothing(story: Story) -> None:
    rollout_id = story.start("shadow", story.good)

    def scored() -> list[Any]:
        return [
            decision
            for _, _, decision in decisions(story.settings, topics.SHADOW_DECISIONS)
            if decision["rollout"]["id"] == rollout_id
        ]

    story.until(lambda: len(scored()) > 20, "shadow decisions")
    story.weir("rollout", "abort", rollout_id)
    assert {decision["model"]["version"] for decision in scored()} == {story.good}
    assert arms_since(story, rollout_id, 0) == {"control"}


def test_a_bandit_moves_its_shares_once_labels_are_mature(story: Story) -> None:
    plan = {**PLAN, "label_maturity_ms": 1_000, "reallocation_ms_min": 1_000}
    rollout_id = story.start("bandit", story.bad, plan=plan)
    story.until(lambda: story.rollout(rollout_id).revision >= 2, "new shares")
    change = story.changes(rollout_id)[1]
    assert change.changed_by == CONTROLLER
    assert "decisions with mature labels" in change.reason
    story.weir("rollout", "abort", rollout_id)
    assert_counted_once(story, rollout_id)


def test_a_policy_that_never_decided_is_evaluated_from_the_archive(story: Story) -> None:
    options = ("--label-maturity", "1s", "--json", "--from", story.begin)

    def evaluated(*more: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(story.weir("evaluate-policy", *options, *more))
        return found

    more_cautious = ("--version", story.champion, "--block", "0.6")
    story.until(
        lambda: (
            "ips" in evaluated(*more_cautious) and evaluated(*more_cautious)["ips"]["events"] > 500
        ),
        "archived decisions",
    )
    found = evaluated(*more_cautious)
    assert found["ips"]["low"] <= found["ips"]["value"] <= found["ips"]["high"]
    assert (
        evaluated("--version", story.bad, "--block", "0.1", "--review", "0.05")["version"]
        == story.bad
    )


def test_no_decision_was_lost_and_a_replay_of_the_log_gives_the_same_arms(story: Story) -> None:
    sent = list(story.traffic.sent)

    def is_decided() -> bool:
        found = {
            orjson.loads(record.value)["transaction_id"]
            for record in read_log(
                story.settings.kafka_bootstrap, topics.DECISIONS, values_only=True
            )
            if record.value is not None
        }
        return found.issuperset(sent)

    story.until(is_decided, "a decision of every transaction")
    history = story.commands.read()
    assigners: dict[tuple[str, int], Assigner] = {}
    arms = Counter[str]()
    for _, _, decision in decisions(story.settings):
        key = (decision["rollout"]["id"], decision["rollout"]["revision"])
        rollout = history.at(*key)
        assert rollout is not None, key
        assigner = assigners.setdefault(key, Assigner(rollout))
        assigned = assigner.assign(
            user_id=decision["user_id"], transaction_id=decision["transaction_id"]
        )
        assert (decision["arm"], decision["propensity"]) == (assigned.arm, assigned.propensity)
        arms[assigned.arm] += 1
    assert {"control", "challenger", "green"} <= arms.keys()
