"""Decisions and vectors that are not what the recomputation gives."""

from dataclasses import replace

import pytest

from features.batch import BATCH_NAMES, NO_HISTORY
from features.definitions import FEATURE_NAMES
from models.encoding.row import encode_row
from models.encoding.vector import STREAM_COLUMNS, vector_bytes, vector_digest
from operations.parity.recomputation.recomputed import Recomputed
from operations.parity.report import SurfaceReport
from operations.parity.surfaces.decisions import DecisionComparison
from schemas.decision import Decision, Offset, PolicyRef, RolloutRef, inputs_of
from schemas.feature_row import FeatureRow
from schemas.rollout import LetThroughRule, Strategy
from scoring.core.arms import ArmOfRows, drawn_policy, in_arm
from scoring.core.rollouts import RolloutInUse
from tests.parity_world import (
    SPEC,
    System,
    audit,
    decided,
    history,
    labels_of,
    rows_of,
    true_system,
)
from tests.rollout_steps import rollout

BROKEN = "merchant_transaction_count_7d_delay_7d"


@pytest.fixture(scope="module")
def system() -> System:
    return true_system()


def test_true_decisions_have_no_difference(system: System) -> None:
    wanted = len(system.rows) * (len(FEATURE_NAMES) + len(STREAM_COLUMNS))
    assert system.compare_decisions(system.decisions()) == SurfaceReport(checked=wanted)


def test_a_broken_value_is_found_in_decision_and_vector(system: System) -> None:
    def broken(row: FeatureRow) -> FeatureRow:
        return replace(row, features={**row.features, BROKEN: (row.features[BROKEN] or 0) + 1})

    rows = [broken(row) for row in system.rows]
    report = system.compare_decisions([decided(row, at) for at, row in enumerate(rows)])
    assert report.mismatched == 2 * len(rows)
    assert {each.feature for each in report.differences} == {BROKEN, f"vector {BROKEN}"}


def test_a_vector_that_is_not_that_of_its_features_is_found_alone(system: System) -> None:
    first, *others = system.decisions()
    assert first.vector is not None
    wrong = replace(first, vector=[first.vector[0] + 1, *first.vector[1:]])
    short = replace(others[0], vector=[1.0])
    report = system.compare_decisions([wrong, short, *others[1:]])
    assert report.mismatched == 2
    assert [each.feature for each in report.differences] == ["vector amount_minor", "vector"]


def test_a_heuristic_has_no_vector_and_of_an_unknown_model_only_features_are_compared(
    system: System,
) -> None:
    without = [replace(decision, vector=None) for decision in system.decisions()]
    wanted = SurfaceReport(checked=len(system.rows) * len(FEATURE_NAMES))
    assert system.compare_decisions(without) == wanted
    assert system.compare_decisions(system.decisions(), spec=None) == wanted


def without_vector(decision: Decision, row: FeatureRow) -> Decision:
    """A decision as the scorer sends it: without a vector that follows from the rest."""
    assert decision.vector is not None
    return replace(
        decision,
        vector=None,
        inputs=inputs_of(row.transaction),
        vector_spec=SPEC.digest,
        vector_digest=vector_digest(vector_bytes(decision.vector)),
    )


def test_a_decision_without_its_vector_is_compared_by_the_digest_of_the_vector(
    system: System,
) -> None:
    decisions = list(map(without_vector, system.decisions(), system.rows))
    wanted = len(system.rows) * (len(FEATURE_NAMES) + len(STREAM_COLUMNS))
    assert system.compare_decisions(decisions) == SurfaceReport(checked=wanted)
    first, second, third, *others = decisions
    wrong = [
        replace(first, vector_digest="0" * 16),
        replace(second, inputs={**(second.inputs or {}), "amount_minor": -1}),
        replace(third, vector_spec="0" * 16),
    ]
    report = system.compare_decisions([*wrong, *others])
    assert report.mismatched == len(wrong)
    names = [each.feature for each in report.differences]
    assert names == ["vector_digest", "inputs", "vector_spec"]


def in_rollout(decision: Decision, row: FeatureRow, of: RolloutInUse) -> Decision:
    """A decision as the scorer sends it during a rollout; half of the blocks are let through."""
    assigned = of.assigner.assign(user_id=decision.user_id, transaction_id=decision.transaction_id)
    assert of.let_through is not None
    outcome, policy = drawn_policy(
        of.let_through,
        outcome="BLOCK",
        transaction_id=decision.transaction_id,
        amount_minor=row.transaction.amount_minor,
    )
    ref = RolloutRef(of.rollout.rollout_id, of.rollout.revision)
    return in_arm(decision, ArmOfRows(ref, *assigned), outcome=outcome, policy=policy)


def compare_arms(system: System, decisions: list[Decision], of: RolloutInUse) -> SurfaceReport:
    known = RolloutRef(of.rollout.rollout_id, of.rollout.revision)
    comparison = DecisionComparison(
        system.recomputed,
        ends=system.ends,
        spec_of=lambda _: None,
        rollout_at=lambda ref: of if ref == known else None,
    )
    for decision in decisions:
        comparison.take(decision)
    return comparison.finish()


@pytest.mark.parametrize("strategy", ["ab", "bandit"])
def test_arms_and_draws_are_those_that_the_rollout_gives_at_its_revision(
    system: System, strategy: Strategy
) -> None:
    rule = LetThroughRule(share_bp=5_000, amount_minor_max=10**12)
    of = RolloutInUse.of(rollout(strategy=strategy, let_through=rule), {})
    decisions = [
        in_rollout(*each, of) for each in zip(system.decisions(), system.rows, strict=True)
    ]
    report = compare_arms(system, decisions, of)
    assert report.is_clean
    assert report.checked == len(decisions) * (len(FEATURE_NAMES) + 3)
    other = {"control": "challenger", "challenger": "control"}
    one, two, three, four, five, *others = decisions
    wrong = [
        replace(one, arm=other[one.arm or ""]),
        replace(two, propensity=0.25),
        replace(three, decision="APPROVE" if three.decision == "BLOCK" else "BLOCK"),
        replace(four, policy=PolicyRef("let_through", 0.1)),
        replace(five, rollout=RolloutRef("r-1", 2)),
    ]
    found = compare_arms(system, [*wrong, *others], of)
    assert [each.feature for each in found.differences] == [
        "arm",
        "propensity",
        "policy",
        "policy",
        "rollout",
    ]


def test_an_arm_without_a_rollout_is_a_difference(system: System) -> None:
    first, *others = system.decisions()
    report = system.compare_decisions([replace(first, arm="control"), *others])
    assert [each.feature for each in report.differences] == ["arm"]


def test_missing_repeated_newer_and_extra_decisions_are_told_apart(system: System) -> None:
    decisions = system.decisions()
    end = len(decisions)
    fresh = replace(decisions[0], transaction_id="new", features_offset=Offset(0, end))
    nowhere = replace(decisions[0], transaction_id="odd", features_offset=Offset(0, end - 1))
    report = system.compare_decisions([*decisions[1:], decisions[5], fresh, nowhere])
    counted = (report.missing, report.repeats, report.newer, report.extra, report.mismatched)
    assert counted == (1, 1, 1, 1, 0)
    assert not report.is_clean


def test_a_transaction_is_undecided_until_its_decision_comes(system: System) -> None:
    *most, last = system.decisions()
    comparison = DecisionComparison(system.recomputed, ends=system.ends, spec_of=lambda _: SPEC)
    for decision in [*most, most[0], replace(last, transaction_id="new")]:
        comparison.take(decision)
    assert comparison.undecided == 1
    comparison.take(last)
    assert comparison.undecided == 0


def test_where_a_label_came_late_the_decision_must_say_what_the_row_says() -> None:
    events = history(per_day=80)
    rows = rows_of(event for event in events if event.is_transaction)
    recomputed = Recomputed()
    late = labels_of(events, timestamp_ms=5_000_000_000_000)
    assert audit(rows, labels=late, recomputed=recomputed).late_labels > 0
    system = System(rows, recomputed, hashes={})
    assert system.compare_decisions(system.decisions()).is_clean


def test_a_vector_with_batch_features_must_agree_with_its_own_decision(system: System) -> None:
    spec = replace(SPEC, columns=(*STREAM_COLUMNS, *BATCH_NAMES))
    told: list[str] = []

    def with_batch(decision: Decision, row: FeatureRow) -> Decision:
        features = {**decision.features, **NO_HISTORY}
        vector = encode_row(spec, row.transaction, features)
        return replace(decision, features=features, vector=vector)

    true = [
        with_batch(decision, row)
        for decision, row in zip(system.decisions(), system.rows, strict=True)
    ]
    first = true[0]
    assert first.vector is not None
    wrong = replace(first, vector=[*first.vector[:-1], 0.5])
    lacking = replace(true[1], features=system.decisions()[1].features)
    # Of the lacking one: each name, and each number of the vector that is none without it.
    for decisions, mismatched in ((true, 0), ([wrong, lacking, *true[2:]], 1 + 4 + 3)):
        report = system.compare_decisions(
            decisions,
            spec=spec,
            on_compared=lambda decision: told.append(decision.transaction_id),
        )
        assert report.mismatched == mismatched, report.differences
        assert len(told) == len(true)
        told.clear()
