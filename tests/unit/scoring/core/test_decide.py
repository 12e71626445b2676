from dataclasses import replace

import pytest

from features.batch import BATCH_NAMES, NO_HISTORY
from features.online.batch_values import MISSING, BatchValues, unknown
from models.heuristic import HEURISTIC, HEURISTIC_NAME, RULES, matched_rule_texts
from models.model import Model
from models.policy import Policy
from schemas.decision import Decision, Offset
from schemas.feature_row import FeatureRow
from schemas.output_codec import decode_decision, encode_decision
from scoring.core.decide import NO_RULE_MATCHED, decide, decide_many
from tests.builders import NOW_MS
from tests.scoring_fakes import FixedModel, feature_row

POLICY = Policy(review_threshold=0.5, block_threshold=0.9)


def decide_row(
    row: FeatureRow,
    model: Model,
    *,
    degraded: tuple[str, ...] = (),
    now_ms: int = NOW_MS,
    batch: BatchValues | None = None,
) -> Decision:
    return decide(
        row,
        model=model,
        policy=POLICY,
        features_offset=Offset(partition=2, offset=7),
        now_ms=now_ms,
        degraded=degraded,
        batch=batch,
    )


def test_a_decision_carries_everything_it_was_made_from() -> None:
    row = feature_row()
    decision = decide_row(row, FixedModel(0.75))
    assert decision.decision == "REVIEW"
    assert decision.model.name == "fixed"
    assert decision.vector == [float(row.transaction.amount_minor)]
    assert decision.features == row.features
    assert decision.features_offset == Offset(2, 7)
    assert decision.definition_digest == row.definition_digest
    assert decision.degraded == ()
    assert decision.timings == {
        "transaction_timestamp_ms": row.origin.timestamp_ms,
        "features_at_ms": row.computed_at_ms,
        "scored_at_ms": NOW_MS,
    }
    assert decode_decision(encode_decision(decision)) == decision


def test_without_a_champion_the_heuristic_decides_and_the_decision_says_so() -> None:
    decision = decide_row(feature_row(), HEURISTIC)
    assert decision.degraded == ("no_model",)
    assert decision.model.name == HEURISTIC_NAME
    assert decision.vector is None


def test_a_row_of_other_definitions_is_never_scored_by_the_model() -> None:
    model = FixedModel(0.99)
    decision = decide_row(feature_row(definition_digest="another"), model)
    assert decision.degraded == ("definition_digest_mismatch",)
    assert decision.model.name == HEURISTIC_NAME
    assert model.calls == []


def test_what_the_caller_lacks_comes_first_in_degraded() -> None:
    decision = decide_row(feature_row(), HEURISTIC, degraded=("decision_store_unavailable",))
    assert decision.degraded == ("decision_store_unavailable", "no_model")


def test_a_mixed_batch_keeps_its_order_and_takes_one_call_of_the_model() -> None:
    model = FixedModel(0.99)
    digests = [None, "another", None, "another", None]
    rows = [
        feature_row(f"t-{at}")
        if digest is None
        else feature_row(f"t-{at}", definition_digest=digest)
        for at, digest in enumerate(digests)
    ]
    offsets = [Offset(0, at) for at in range(5)]
    decisions = decide_many(
        rows, model=model, policy=POLICY, features_offsets=offsets, now_ms=NOW_MS
    )
    assert [d.transaction_id for d in decisions] == [f"t-{at}" for at in range(5)]
    assert [d.features_offset for d in decisions] == offsets
    assert [d.decision for d in decisions] == ["BLOCK", "APPROVE", "BLOCK", "APPROVE", "BLOCK"]
    assert model.calls == [3]


def test_a_decision_does_not_depend_on_its_neighbours() -> None:
    rows = [feature_row(f"t-{at}", features={"user_transaction_count_5m": at}) for at in range(20)]
    alone = [decide_row(row, HEURISTIC) for row in rows]
    together = decide_many(
        rows,
        model=HEURISTIC,
        policy=POLICY,
        features_offsets=[Offset(2, 7)] * 20,
        now_ms=NOW_MS,
    )
    assert together == alone


def test_the_present_time_changes_only_the_times_of_a_decision() -> None:
    first, later = (decide_row(feature_row(), FixedModel(0.2), now_ms=ms) for ms in (1, 2))
    assert replace(later, decided_at_ms=1, timings=first.timings) == first


def test_the_reasons_of_the_heuristic_are_the_threshold_and_its_rules() -> None:
    row = feature_row(features={"user_transaction_count_5m": 10})
    decision = decide_row(row, HEURISTIC)
    assert decision.reasons == ("score 0.700 is above 0.5", "10 transactions in 5 minutes")
    assert decision.matched_rules == ("10 transactions in 5 minutes",)


def test_the_reasons_of_a_model_say_that_the_rules_are_not_its_own() -> None:
    row = feature_row(features={"user_transaction_count_5m": 10, "user_merchant_distinct_5m": 3})
    decision = decide_row(row, FixedModel(0.95))
    assert decision.matched_rules == ("10 transactions in 5 minutes", "3 merchants in 5 minutes")
    assert decision.reasons == (
        "score 0.950 is above 0.9",
        "matched rule, not the model's reason: 10 transactions in 5 minutes",
        "matched rule, not the model's reason: 3 merchants in 5 minutes",
    )


@pytest.mark.parametrize(
    ("score", "says_so"), [(0.5, False), (0.51, True), (0.9, True), (0.91, True)]
)
def test_a_review_or_a_block_that_no_rule_matches_says_so(score: float, *, says_so: bool) -> None:
    decision = decide_row(feature_row(features={}), FixedModel(score))
    assert decision.matched_rules == ()
    assert (NO_RULE_MATCHED in decision.reasons) is says_so


def test_at_most_three_rules_are_named_the_strongest_first() -> None:
    features = {rule.feature: rule.high for rule in RULES}
    decision = decide_row(feature_row(features=features), FixedModel(0.95))
    assert len(decision.matched_rules) == 3
    assert decision.matched_rules == matched_rule_texts(features, texts_max=3)


def test_a_decision_names_the_merchant() -> None:
    row = feature_row()
    assert decide_row(row, FixedModel(0.2)).merchant_id == row.transaction.merchant_id


def test_an_empty_batch_gives_no_decision() -> None:
    model = FixedModel(0.5)
    assert decide_many([], model=model, policy=POLICY, features_offsets=[], now_ms=0) == []


def test_offsets_that_do_not_match_the_rows_are_a_bug() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        decide_many([feature_row()], model=HEURISTIC, policy=POLICY, features_offsets=[], now_ms=0)


# --- batch features --------------------------------------------------------------------

COLUMNS = BATCH_NAMES[1:3]
KNOWN = BatchValues({**NO_HISTORY, COLUMNS[0]: 12.5, COLUMNS[1]: 2}, NOW_MS - 7, None)


def test_batch_features_that_a_model_takes_are_scored_and_in_the_decision() -> None:
    model = FixedModel(0.2, batch_columns=COLUMNS)
    row = feature_row()
    decision = decide_row(row, model, batch=KNOWN)
    assert decision.features == {**row.features, COLUMNS[0]: 12.5, COLUMNS[1]: 2}
    assert model.rows[0].features == decision.features
    assert (decision.batch_as_of_ms, decision.degraded) == (NOW_MS - 7, ())
    assert decode_decision(encode_decision(decision)) == decision
    assert row.features.keys().isdisjoint(COLUMNS)


def test_a_model_that_takes_none_scores_the_row_alone() -> None:
    decision = decide_row(feature_row(), FixedModel(0.2), batch=KNOWN)
    assert decision.features == feature_row().features
    assert (decision.batch_as_of_ms, decision.degraded) == (None, ())


@pytest.mark.parametrize("batch", [None, unknown(MISSING)], ids=["unread", "missing"])
def test_without_batch_features_a_model_scores_nulls_and_the_decision_says_why(
    batch: BatchValues | None,
) -> None:
    model = FixedModel(0.2, batch_columns=COLUMNS)
    decision = decide_row(feature_row(), model, batch=batch, degraded=("else",))
    assert {name: decision.features[name] for name in COLUMNS} == dict.fromkeys(COLUMNS)
    reason = "batch_features_unavailable" if batch is None else "batch_features_missing"
    assert (decision.batch_as_of_ms, decision.degraded) == (None, ("else", reason))


def test_in_a_mixed_batch_each_row_has_its_own_users_values_and_the_heuristic_none() -> None:
    rows = [
        feature_row("t-0"),
        feature_row("t-1", definition_digest="another"),
        feature_row("t-2"),
    ]
    batch = [replace_value(KNOWN, at) for at in range(3)]
    decisions = decide_many(
        rows,
        model=FixedModel(0.2, batch_columns=COLUMNS),
        policy=POLICY,
        features_offsets=[Offset(0, 0)] * 3,
        now_ms=NOW_MS,
        batch=batch,
    )
    assert [d.features.get(COLUMNS[1]) for d in decisions] == [0, None, 2]
    assert [d.batch_as_of_ms for d in decisions] == [NOW_MS - 7, None, NOW_MS - 7]
    assert [d.degraded for d in decisions] == [(), ("definition_digest_mismatch",), ()]


def replace_value(values: BatchValues, count: int) -> BatchValues:
    return values._replace(features={**values.features, COLUMNS[1]: count})


def test_batch_features_that_do_not_match_the_rows_are_a_bug() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        decide_many(
            [feature_row()],
            model=FixedModel(0.2, batch_columns=COLUMNS),
            policy=POLICY,
            features_offsets=[Offset(0, 0)],
            now_ms=0,
            batch=[],
        )
