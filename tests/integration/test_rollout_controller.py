"""The controller of rollouts on a real Kafka: what it counts, does and goes on with after a kill.

Decisions are written directly, and time is the test's: no Flink, no scorer, no waiting.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from zlib import crc32

import pytest

from clients.errors import KafkaUnreachableError
from operations.rollouts.controller import changes
from operations.rollouts.controller.follow import RolloutController
from operations.rollouts.controller.topics import ControllerTopics
from schemas.rollout import CONTROLLER, Limits
from scoring.core.rollout_changes import paused
from scoring.stores.rollout_state import RolloutStateLog
from tests.controlled_rollout import DAY_MS, PLAN, ControlledRollout, killed_everywhere
from tests.rollout_traffic import GOOD, Behaviour, RolloutTraffic, until
from tests.services import Services, unique_name

MATURITY_MS = 30 * DAY_MS
TURNS_MAX = 200
"""Turns of traffic and controller until something happens; on a busy machine many find nothing."""


@pytest.fixture(scope="module")
def topics(kafka: Services) -> ControllerTopics:
    """Topics of this module; each test has a rollout and a model of its own."""
    return ControllerTopics(
        rollouts=kafka.new_topic("rollouts"),
        decisions=kafka.new_topic("decisions", partitions=2),
        labels=kafka.new_topic("labels", partitions=2),
        shadow_decisions=kafka.new_topic("shadow-decisions", partitions=2),
        rollout_state=kafka.new_topic("rollout-state"),
    )


@pytest.fixture
def deployment(
    kafka: Services, topics: ControllerTopics, request: pytest.FixtureRequest
) -> Iterator[ControlledRollout]:
    traffic = RolloutTraffic(
        kafka.kafka_bootstrap, topics, now_ms=time.time_ns() // 1_000_000 - 60 * DAY_MS
    )
    made = ControlledRollout(
        kafka.kafka_bootstrap,
        topics,
        kafka.settings.model_copy(update={"model_name": unique_name("model")}),
        # The same in each run, because the arms of the users follow from it: a guard may be wrong.
        f"r-{crc32(request.node.name.encode()):08x}",
        traffic,
    )
    yield made
    made.kill()


# --- counting ----------------------------------------------------------------------------


def test_every_decision_counts_once_and_repeats_do_not(deployment: ControlledRollout) -> None:
    rollout = deployment.start("ab")
    deployment.traffic.decide(rollout, 500)
    for decision in deployment.traffic.decisions[:100]:
        deployment.traffic.write(replace(decision, model_ms=None))
    deployment.traffic.write(replace(deployment.traffic.decisions[0], rollout=None, arm=None))
    deployment.traffic.flush()
    deployment.settle()
    wanted = Counter(decision.arm for decision in deployment.traffic.decisions)
    assert deployment.counts() == dict(wanted)
    outcomes = Counter(
        decision.decision
        for decision in deployment.traffic.decisions
        if decision.arm == "challenger"
    )
    challenger = next(arm for arm in deployment.reading.arms if arm.name == "challenger")
    assert challenger.outcomes == {name: outcomes[name] for name in challenger.outcomes}


def test_a_shadow_is_counted_beside_the_control_and_goes_on_after_a_kill(
    deployment: ControlledRollout,
) -> None:
    rollout = deployment.start("shadow")
    traffic = deployment.traffic
    for wanted in (200, 300):
        traffic.decide(rollout, 200 if wanted == 200 else 100)
        for decision in traffic.decisions[0 if wanted == 200 else 200 :]:
            traffic.shadow(decision, "REVIEW", decision.score)
        traffic.write(replace(traffic.decisions[0], model_ms=None))
        traffic.flush()
        until(lambda: shadow_pairs(deployment) == wanted, deployment.pass_a_second)  # noqa: B023
        deployment.kill()
    figures = {each.name: each.value for each in deployment.reading.figures}
    reviews = sum(each.decision == "REVIEW" for each in traffic.decisions)
    assert figures["shadow_agreement"] == pytest.approx(reviews / 300)
    assert figures["shadow_review_share"] == 1.0
    assert figures["shadow_score_difference"] == 0.0


def shadow_pairs(deployment: ControlledRollout) -> float | None:
    """As the newest snapshot tells them; None before the first."""
    log = RolloutStateLog(deployment.bootstrap, topic=deployment.topics.rollout_state)
    reading = log.reading(deployment.rollout_id)
    figures = () if reading is None else reading.figures
    return next((each.value for each in figures if each.name == "shadow_decisions"), None)


def test_labels_count_when_they_are_mature_not_when_they_come(
    deployment: ControlledRollout,
) -> None:
    rollout = deployment.start("ab", replace(PLAN, label_maturity_ms=MATURITY_MS))
    traffic = deployment.traffic
    traffic.decide(rollout, 200, label_after_ms=5 * DAY_MS)
    late = next(one for one in traffic.decisions if one.decision == "APPROVE")
    traffic.label(late, at_ms=late.decided_at_ms + MATURITY_MS + 1)
    traffic.flush()
    deployment.settle()
    assert set(deployment.matures().values()) == {0}, "the labels have come and are not mature"
    traffic.now_ms = traffic.decisions[100].decided_at_ms + MATURITY_MS + 1_000
    becomes_mature(deployment, 101)
    traffic.now_ms = traffic.decisions[-1].decided_at_ms + MATURITY_MS + 1_000
    becomes_mature(deployment, 200)
    known = deployment.reading
    losses = sum((arm.mean_loss or 0.0) * arm.mature_decisions for arm in known.arms)
    assert losses == pytest.approx(expected_loss(deployment))


def expected_loss(deployment: ControlledRollout) -> float:
    """The losses of all decisions, as the traffic knows them."""
    random_again = RolloutTraffic(
        deployment.bootstrap, deployment.topics, now_ms=0, seed=deployment.traffic.seed
    )
    random_again.write = lambda _: None  # type: ignore[method-assign]
    total = 0.0
    labelled: set[str] = set()
    random_again.label = (  # type: ignore[method-assign]
        lambda decision, **_: labelled.add(decision.transaction_id)
    )
    random_again.decide(deployment.rollout, len(deployment.traffic.decisions), label_after_ms=1)
    for decision in deployment.traffic.decisions:
        is_fraud = decision.transaction_id in labelled
        if decision.decision == "REVIEW":
            total += 0.02
        elif decision.decision == "APPROVE":
            total += 1.0 * is_fraud
        else:
            total += 0.0 if is_fraud else 0.1
    return total


def becomes_mature(deployment: ControlledRollout, decisions: int) -> None:
    """Turn until so many decisions are mature, the clock stands, and a last turn stores them."""
    controller = deployment.controller
    assert controller is not None
    run = controller._run
    assert run is not None
    until(lambda: run.counting.state.mature_decisions == decisions, deployment.step)
    run.stored_at_ms = 0
    deployment.step()
    assert sum(deployment.matures().values()) == decisions


# --- killed ------------------------------------------------------------------------------


def run_canary(deployment: ControlledRollout) -> None:
    """A canary through its stages, traffic and controller in turns; the last one stays."""
    stages_bp = (1_000, 2_000, 3_000, 5_000, 10_000)
    rollout = deployment.start(
        plan=replace(PLAN, stages_bp=stages_bp, matured_decisions_min=1_000_000)
    )
    for _ in range(TURNS_MAX):
        deployment.traffic.decide(rollout, 300, label_after_ms=100)
        deployment.step()
        rollout = deployment.rollout
        if rollout.stage == 3 and deployment.kills == 4:
            break
    assert rollout.stage == 3


def test_a_controller_killed_at_each_place_goes_on_where_it_was(
    deployment: ControlledRollout,
) -> None:
    deployment.kill_at = killed_everywhere()
    run_canary(deployment)
    deployment.settle()
    assert deployment.kills == 4
    wanted = Counter(decision.arm for decision in deployment.traffic.decisions)
    assert deployment.counts() == dict(wanted), "no decision twice, none lost"
    assert [change.rollout.stage for change in deployment.history()] == [0, 1, 2, 3]
    assert state_of(deployment) == pytest.approx(recounted(deployment))


def test_a_change_that_the_controller_reads_late_costs_no_decision(
    deployment: ControlledRollout, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = deployment.start("ab")
    deployment.step()
    change = paused(rollout, deployment.author())
    deployment.log.write(change)
    deployment.traffic.decide(change.rollout, 200)
    assert deployment.changes is not None
    deployment.changes.read = lambda _: None  # type: ignore[method-assign]
    monkeypatch.setattr(changes, "CATCH_UP_S_MAX", 0.0)
    with pytest.raises(KafkaUnreachableError, match="was not read up to offset"):
        until(lambda: False, deployment.step)
    deployment.kill()
    deployment.settle()
    assert deployment.counts() == dict(Counter(one.arm for one in deployment.traffic.decisions))


def state_of(deployment: ControlledRollout) -> dict[str, float]:
    return {
        f"{arm.name} {name}": value
        for arm in deployment.reading.arms
        for name, value in (
            ("decisions", arm.decisions),
            ("errors", arm.errors),
            ("score", arm.mean_score),
            *arm.outcomes.items(),
        )
    }


def recounted(deployment: ControlledRollout) -> dict[str, float]:
    """The same from what the traffic has written."""
    found: dict[str, float] = {}
    for name in ("control", "challenger"):
        own = [one for one in deployment.traffic.decisions if one.arm == name]
        outcomes = Counter(one.decision for one in own)
        found |= {
            f"{name} decisions": len(own),
            f"{name} errors": sum(1 for one in own if one.degraded),
            f"{name} score": sum(one.score for one in own) / len(own),
            **{f"{name} {each}": outcomes[each] for each in ("APPROVE", "REVIEW", "BLOCK")},
        }
    return found


# --- acting ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("challenger", "guard"),
    [
        (Behaviour(error_share=0.3), "errors"),
        (Behaviour(model_ms=250.0), "slow"),
        (Behaviour(outcomes=(0.5, 0.3, 0.2)), "outcomes"),
        (Behaviour(score_shift=0.4), "scores"),
    ],
)
def test_a_bad_canary_is_rolled_back_by_itself(
    deployment: ControlledRollout, challenger: Behaviour, guard: str
) -> None:
    rollout = deployment.start(limits=Limits(slow_ms=100))
    for _ in range(TURNS_MAX):
        deployment.traffic.decide(rollout, 400, challenger=challenger)
        deployment.step()
        rollout = deployment.rollout
        if not rollout.is_active:
            break
    assert rollout.status == "rolled_back"
    assert rollout.control.share_bp == 10_000
    last = deployment.history()[-1]
    assert last.changed_by == CONTROLLER
    assert f"broke the guard {guard}" in last.reason
    deployment.step()
    assert deployment.reading.verdict == last.reason, "the last snapshot says how it ended"


def test_a_canary_whose_labels_show_a_loss_is_rolled_back(deployment: ControlledRollout) -> None:
    plan = replace(PLAN, stages_bp=(5_000, 10_000), stage_ms_min=DAY_MS, label_maturity_ms=5_000)
    limits = Limits(outcome_change_max=0.2, score_change_max=0.2)
    rollout = deployment.start(plan=plan, limits=limits)
    for _ in range(TURNS_MAX):
        deployment.traffic.decide(
            rollout,
            400,
            label_after_ms=100,
            challenger=Behaviour(missed=1.0),
            control=Behaviour(missed=0.1),
        )
        deployment.step()
        rollout = deployment.rollout
        if not rollout.is_active:
            break
    assert rollout.status == "rolled_back"
    assert "broke the guard loss" in deployment.history()[-1].reason


def test_labels_that_stop_pause_the_rollout_with_the_reason(
    deployment: ControlledRollout, kafka: Services
) -> None:
    # Silence is that of all labels, and other tests send some.
    topics = deployment.topics._replace(labels=kafka.new_topic("labels"))
    deployment.topics = deployment.traffic.topics = topics
    rollout = deployment.start("ab", replace(PLAN, label_silence_ms_max=2 * DAY_MS))
    deployment.traffic.decide(rollout, 100, label_after_ms=1_000)
    deployment.settle()
    assert deployment.rollout.status == "running"
    deployment.traffic.now_ms += 3 * DAY_MS
    deployment.traffic.decide(rollout, 10)
    until(lambda: deployment.rollout.status == "paused", deployment.step)
    assert "No label has come for 3 days" in deployment.history()[-1].reason


def test_too_many_labels_pause_the_rollout_with_the_reason(deployment: ControlledRollout) -> None:
    deployment.settings = deployment.settings.model_copy(update={"rollout_labels_max": 5})
    rollout = deployment.start("ab")
    deployment.traffic.decide(rollout, 300, label_after_ms=10)
    until(lambda: deployment.rollout.status == "paused", deployment.step)
    assert "WEIR_ROLLOUT_LABELS_MAX" in deployment.history()[-1].reason


def test_a_person_who_is_faster_wins_and_the_controller_goes_on_from_there(
    deployment: ControlledRollout,
) -> None:
    rollout = deployment.start()
    deployment.traffic.decide(rollout, 2_000)
    deployment.step()
    assert deployment.changes is not None
    deployment.changes.read = lambda _: None  # type: ignore[method-assign]
    deployment.log.write(paused(rollout, deployment.author()))
    deployment.traffic.now_ms += 5_000
    for _ in range(4):
        deployment.step()
    assert [change.changed_by for change in deployment.history()] == ["ana", "ana"]
    assert deployment.history()[-1].rollout.status == "paused"
    deployment.kill()
    for _ in range(4):
        deployment.step()
    assert deployment.history()[-1].rollout.status == "paused", "a paused rollout takes no step"


def test_a_bandit_moves_the_shares_to_the_better_arm(deployment: ControlledRollout) -> None:
    plan = replace(PLAN, label_maturity_ms=2_000, reallocation_ms_min=5_000)
    rollout = deployment.start("bandit", plan, challengers={"first": "2", "second": "3"})
    shares: dict[str, int] = {}
    for _ in range(TURNS_MAX):
        deployment.traffic.decide(
            rollout,
            400,
            label_after_ms=100,
            first=Behaviour(missed=0.0),
            second=Behaviour(missed=1.0),
            control=Behaviour(missed=1.0),
        )
        deployment.settle()
        rollout = deployment.rollout
        shares = {arm.name: arm.share_bp for arm in rollout.arms}
        if shares["first"] > 5_000:
            break
    assert shares["first"] > 5_000
    assert rollout.revision > 1
    assert min(shares.values()) >= plan.exploration_bp_min


def test_equal_arms_of_an_ab_test_are_left_alone(deployment: ControlledRollout) -> None:
    rollout = deployment.start("ab", replace(PLAN, label_maturity_ms=2_000))
    deployment.traffic.decide(rollout, 3_000, label_after_ms=100, challenger=GOOD)
    deployment.settle()
    deployment.traffic.now_ms += 10_000
    becomes_mature(deployment, 3_000)
    reading = deployment.reading
    assert deployment.rollout.revision == 1
    assert reading.recommendation == "go_on"
    assert {"p_value", "sample_ratio_p_value", "lift"} <= {each.name for each in reading.figures}


def test_without_kafka_the_controller_says_so(deployment: ControlledRollout) -> None:
    deployment.settings = deployment.settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    controller = RolloutController(deployment.settings, topics=deployment.topics)
    with pytest.raises(KafkaUnreachableError):
        controller.run(threading.Event())
