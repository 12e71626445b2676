"""A batch during a rollout: each row by its arm, one model call an arm, an answer for each row."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry

from models.heuristic import HEURISTIC_NAME
from models.model import Model, Scores
from models.policy import Policy
from schemas import topics
from schemas.decision import Decision, PolicyRef, RolloutRef
from schemas.feature_row import FeatureRow
from schemas.output_codec import decode_decision, encode_feature_row
from schemas.rollout import LetThroughRule, Rollout
from scoring.core.rollouts import Assigner, RolloutInUse
from scoring.metrics import build_metrics
from scoring.worker.batch import BatchScorer, Channels
from scoring.worker.feature_log import Record
from scoring.worker.shadow import ShadowScorer
from tests.builders import NOW_MS
from tests.rollout_steps import rollout, step
from tests.scoring_fakes import (
    FixedModel,
    FixedSource,
    MemoryBatchReader,
    MemoryFeatureLog,
    MemorySink,
    MemoryStore,
    feature_row,
)

POLICY = Policy(review_threshold=0.5, block_threshold=0.9)
USERS = [f"u-{at}" for at in range(200)]


class BrokenModel(FixedModel):
    """Raises an error for every batch."""

    def score(self, rows: Any) -> Scores:
        raise ValueError("a score is not a number")


class FixedRollouts:
    def __init__(self) -> None:
        self.in_use: RolloutInUse | None = None

    def current(self) -> RolloutInUse | None:
        return self.in_use

    def standing(self) -> None:
        return None


class Records:
    """A `ShadowProducer` in memory; has room as a test says."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.headers: list[Any] = []
        self.has_room = True

    def send(self, key: bytes, value: bytes, headers: Any) -> bool:
        if self.has_room:
            self.values.append(value)
            self.headers.append(headers)
        return self.has_room

    def close(self) -> None: ...


class Bench:
    """A batch scorer during a rollout, and its parts."""

    def __init__(self, *, shadow_rows_max: int = 1_000) -> None:
        self.champion = FixedModel(0.1, version="1")
        self.challenger = FixedModel(0.6, version="2")
        self.rollouts = FixedRollouts()
        self.store = MemoryStore()
        self.sink = MemorySink()
        self.shadow_records = Records()
        self.registry = CollectorRegistry()
        metrics = build_metrics(self.registry)
        self.shadow = ShadowScorer(
            policy=POLICY,
            producer=self.shadow_records,
            metrics=metrics,
            now_ms=lambda: NOW_MS,
            clock_ms=lambda: 0.0,
            rows_waiting_max=shadow_rows_max,
        )
        self.scorer = BatchScorer(
            models=FixedSource(self.champion),
            policy=POLICY,
            store=self.store,
            log=MemoryFeatureLog(),
            batch_reader=MemoryBatchReader(),
            sink=self.sink,
            clock_ms=lambda: NOW_MS,
            metrics=metrics,
            channels=Channels(),
            rollouts=self.rollouts,
            steady_ms=lambda: 0.0,
            shadow=self.shadow,
        )

    def use(self, of: Rollout, models: Mapping[str, Model | None] | None = None) -> None:
        default = {"control": self.champion, of.challengers[0].name: self.challenger}
        self.rollouts.in_use = RolloutInUse.of(of, models or default)

    def decide(self, users: list[str] = USERS, *, amount_minor: int = 100) -> list[Decision]:
        self.sink.records.clear()
        records = [record(at, user, amount_minor) for at, user in enumerate(users)]
        asyncio.run(self.scorer.score(records))
        return [decode_decision(sent.value) for sent in self.sink.records]

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


def row_of(at: int, user: str, amount_minor: int) -> FeatureRow:
    row = feature_row(f"t-{at}")
    return replace(
        row, transaction=replace(row.transaction, user_id=user, amount_minor=amount_minor)
    )


def record(at: int, user: str, amount_minor: int = 100) -> Record:
    value = encode_feature_row(row_of(at, user, amount_minor))
    return Record(topics.FEATURES, 1, at, NOW_MS, b"k", value, [])


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_each_row_is_decided_by_its_arm_with_one_call_an_arm(bench: Bench) -> None:
    of = rollout(strategy="ab", challenger_share_bp=3_000)
    bench.use(of)
    decisions = bench.decide()
    assigner = Assigner(of)
    for user, decision in zip(USERS, decisions, strict=True):
        wanted = assigner.assign(user_id=user, transaction_id=decision.transaction_id)
        assert (decision.arm, decision.propensity) == wanted
        assert decision.model.version == {"control": "1", "challenger": "2"}[wanted.arm]
        assert decision.decision == {"control": "APPROVE", "challenger": "REVIEW"}[wanted.arm]
        assert decision.rollout == RolloutRef("r-1", 1)
        assert (decision.model_ms, decision.degraded) == (0.0, ())
    assert [decision.user_id for decision in decisions] == USERS, "in the order of the log"
    arms = Counter(decision.arm for decision in decisions)
    assert bench.champion.calls == [arms["control"]]
    assert bench.challenger.calls == [arms["challenger"]]
    labels = {"rollout": "r-1", "arm": "challenger", "decision": "REVIEW"}
    assert bench.count("scoring_arm_decisions_total", **labels) == arms["challenger"]


def test_without_a_rollout_a_decision_names_no_arm(bench: Bench) -> None:
    (decision,) = bench.decide(["u-1"])
    assert (decision.rollout, decision.arm, decision.propensity) == (None, None, None)
    assert decision.model_ms is None


def test_a_bandit_draws_by_transaction(bench: Bench) -> None:
    of = rollout(strategy="bandit")
    bench.use(of)
    decisions = bench.decide(["u-1"] * 50)
    assert {decision.arm for decision in decisions} == {"control", "challenger"}
    assigner = Assigner(of)
    for each in decisions:
        wanted = assigner.assign(user_id="u-1", transaction_id=each.transaction_id)
        assert (each.arm, each.propensity) == wanted


@pytest.mark.parametrize(
    ("challenger", "control", "scored_by"),
    [
        (None, "good", "1"),
        ("broken", "good", "1"),
        (None, None, "1"),
        ("broken", "broken", "1"),
        (None, None, "heuristic"),
    ],
)
def test_an_arm_that_cannot_score_is_named_and_another_model_scores(
    bench: Bench,
    challenger: str | None,
    control: str | None,
    scored_by: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made: dict[str | None, Model | None] = {
        None: None,
        "broken": BrokenModel(0.0, version="9"),
        "good": bench.champion,
    }
    if scored_by == "heuristic":
        bench.scorer._decider._models = FixedSource(BrokenModel(0.0, version="9"))
    bench.use(rollout(strategy="ab"), {"control": made[control], "challenger": made[challenger]})
    with caplog.at_level("CRITICAL"):
        decisions = bench.decide()
    assert {decision.arm for decision in decisions} == {"control", "challenger"}
    for decision in decisions:
        if decision.arm == "challenger" or control != "good":
            assert decision.degraded[0] == "arm_unavailable"
            is_heuristic = decision.model.name == HEURISTIC_NAME
            assert is_heuristic or decision.model.version == scored_by
        else:
            assert decision.degraded == ()
    assert bench.count("scoring_degraded_total", missing="arm_unavailable") > 0


def test_a_repeat_keeps_its_arm_though_the_shares_have_changed(bench: Bench) -> None:
    of = rollout(strategy="ab")
    bench.use(of)
    firsts = bench.decide()
    bench.use(step(of, shares_bp={"control": 0 + 1, "challenger": 9_999}).rollout)
    repeats = bench.decide()
    assert [replace(first, model_ms=None) for first in firsts] == repeats
    assert bench.champion.calls, "the model was asked again, and its answer dropped"


def test_would_be_blocks_are_let_through_up_to_the_amount(bench: Bench) -> None:
    rule = LetThroughRule(share_bp=10_000, amount_minor_max=100)
    bench.challenger = FixedModel(0.95, version="2")
    bench.champion = FixedModel(0.95, version="1")
    bench.use(rollout(strategy="ab", let_through=rule))
    small = bench.decide(["u-1"], amount_minor=100)
    bench.store = bench.scorer._store = MemoryStore()  # type: ignore[assignment]
    large = bench.decide(["u-1"], amount_minor=101)
    assert (small[0].decision, small[0].policy) == ("APPROVE", PolicyRef("let_through", 1.0))
    assert (large[0].decision, large[0].policy) == ("BLOCK", None)


# --- shadow ------------------------------------------------------------------------------


def test_in_the_shadow_the_control_decides_and_the_challenger_is_compared(bench: Bench) -> None:
    bench.use(rollout(strategy="shadow"))
    bench.shadow.start()
    decisions = bench.decide()
    bench.shadow._jobs.put(None)
    bench.shadow._thread.join(10)
    assert {decision.arm for decision in decisions} == {"control"}
    shadows = [decode_decision(value) for value in bench.shadow_records.values]
    assert [each.transaction_id for each in shadows] == [each.transaction_id for each in decisions]
    assert {(each.arm, each.model.version, each.decision) for each in shadows} == {
        ("challenger", "2", "REVIEW")
    }
    assert {each.propensity for each in shadows} == {0.0}
    beside = [dict(headers)["weir-control"] for headers in bench.shadow_records.headers]
    assert beside == [
        orjson.dumps({"decision": each.decision, "score": each.score}) for each in decisions
    ]
    labels = {"control": "APPROVE", "challenger": "REVIEW"}
    assert bench.count("scoring_shadow_decisions_total", **labels) == len(USERS)
    assert bench.count("scoring_shadow_score_difference_sum") == pytest.approx(0.5 * len(USERS))


@pytest.mark.parametrize("reason", ["queue_full", "arm_unavailable"])
def test_under_pressure_shadow_rows_are_dropped_and_counted(reason: str) -> None:
    bench = Bench(shadow_rows_max=len(USERS))
    of = rollout(strategy="shadow")
    bench.use(of)
    if reason == "arm_unavailable":
        bench.use(of, {"control": bench.champion, "challenger": None})
    assert len(bench.decide()) == len(USERS)
    assert len(bench.decide()) == len(USERS), "no decision waits for the shadow"
    dropped = bench.count("scoring_shadow_dropped_total", reason=reason)
    assert dropped == (len(USERS) if reason == "queue_full" else 2 * len(USERS))


@pytest.mark.parametrize("reason", ["failed", "not_delivered"])
def test_a_shadow_that_fails_changes_no_decision(
    reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    bench.shadow_records.has_room = False
    model = BrokenModel(0.0) if reason == "failed" else bench.challenger
    bench.use(rollout(strategy="shadow"), {"control": bench.champion, "challenger": model})
    bench.shadow.start()
    with caplog.at_level("CRITICAL"):
        assert len(bench.decide()) == len(USERS)
        bench.shadow._jobs.put(None)
        bench.shadow._thread.join(10)
    assert bench.count("scoring_shadow_dropped_total", reason=reason) == len(USERS)
    assert bench.shadow_records.values == []
