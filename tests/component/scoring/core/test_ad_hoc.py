"""Scoring outside the stream: the same values as in it, and what a decision says of its inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.batch import BATCH_NAMES
from features.definitions import DAY_MS, DEFINITION_DIGEST, FEATURE_NAMES
from features.engine.state import MerchantState, UserState
from features.on_demand import on_demand_features
from features.online import feast_values
from features.online import layout as online_store
from models.heuristic import HEURISTIC
from models.model import Model, Scores
from models.policy import Policy
from schemas.decision import Decision
from schemas.fields import EVENT_TIME_MS_MAX
from scoring.core.ad_hoc import (
    AdHocScore,
    Scoring,
    Stored,
    decode_state,
    prepare,
    score_ad_hoc,
    score_many,
)
from scoring.core.ports import EntityPair
from scoring.core.rollouts import Assigner, RolloutInUse
from tests.api_service import FixedModel, stored
from tests.builders import NOW_MS, transaction
from tests.rollout_steps import rollout

POLICY = Policy(review_threshold=0.5, block_threshold=0.9)
NOTHING = [None] * 4

# Older and newer than every window, in any order, and up to a day after the event itself.
one_age_ms = st.one_of(st.integers(0, 40 * DAY_MS), st.integers(-DAY_MS, 0), st.just(-1))
ages_ms = st.lists(one_age_ms, max_size=12)
amounts_minor = st.integers(0, 10**9)
merchants = st.sampled_from(["m-1", "m-2", "m-3"])
histories = st.lists(st.tuples(one_age_ms, amounts_minor, merchants), max_size=12)


def fields(entity: online_store.Entity, state: UserState | MerchantState) -> list[bytes | None]:
    assert state.newest_ms is not None
    written = stored(entity, state, state.newest_ms)
    return [written.get(name) for name in online_store.state_fields(entity)]


def scoring_by(model: Model) -> Scoring:
    return Scoring(model, POLICY, NOW_MS, DAY_MS)


def score(pair: EntityPair | None, **changes: object) -> AdHocScore:
    return score_ad_hoc(transaction(**changes), Stored(pair), scoring_by(FixedModel(0.2)))


@given(histories, ages_ms, amounts_minor)
def test_values_are_those_that_the_stream_would_give_the_event(
    history: list[tuple[int, int, str]], merchant_ages_ms: list[int], amount_minor: int
) -> None:
    user, merchant = UserState(), MerchantState()
    for number, (age_ms, amount, merchant_id) in enumerate(history):
        user.fold(
            transaction_id=f"t-{number}",
            merchant_id=merchant_id,
            amount_minor=amount,
            event_time_ms=NOW_MS - age_ms,
        )
    for number, age_ms in enumerate(merchant_ages_ms):
        merchant.fold_transaction(
            transaction_id=f"t-{number}", event_time_ms=NOW_MS - age_ms, is_repeat=False
        )
    pair = EntityPair(
        fields("user", user) if history else NOTHING,
        fields("merchant", merchant) if merchant_ages_ms else NOTHING,
    )
    decision = score(pair, transaction_id="next", amount_minor=amount_minor).decision

    in_stream = user.fold(
        transaction_id="next",
        merchant_id="m-1",
        amount_minor=amount_minor,
        event_time_ms=NOW_MS,
    )
    of_merchant = merchant.fold_transaction(
        transaction_id="next", event_time_ms=NOW_MS, is_repeat=False
    )
    expected = in_stream.features | of_merchant.features | on_demand_features(NOW_MS)
    assert decision.features == expected
    assert list(decision.features) == list(FEATURE_NAMES)
    assert decision.approximate == in_stream.approximate + of_merchant.approximate


def test_the_row_has_these_definitions_and_no_place_in_a_log() -> None:
    decision: Decision = score(None).decision
    assert decision.definition_digest == DEFINITION_DIGEST
    assert (decision.features_offset.partition, decision.features_offset.offset) == (-1, -1)
    assert decision.score == 0.2


def test_a_reason_that_holds_for_both_entities_is_given_once() -> None:
    broken = [b"\xff", b"1", b"", DEFINITION_DIGEST.encode()]
    decision = score(EntityPair(broken, broken)).decision
    assert decision.degraded == ("online_state_unreadable",)
    assert [text for text in decision.reasons if "cannot be read" in text] == list(
        decision.reasons[-2:]
    )
    decision = score(None).decision
    assert decision.degraded == ("online_store_unavailable",)
    assert sum("history" in text for text in decision.reasons) == 1


def test_degraded_names_both_the_missing_store_and_the_missing_model() -> None:
    scored = score_ad_hoc(transaction(), Stored(None), scoring_by(HEURISTIC))
    assert scored.decision.degraded == ("online_store_unavailable", "no_model")


def user_as_of(event_time_ms: int) -> list[bytes | None]:
    state = UserState()
    state.fold(transaction_id="t", merchant_id="m", amount_minor=1, event_time_ms=event_time_ms)
    return fields("user", state)


def age_of(event_time_ms: int, *, now_ms: int) -> int | None:
    return decode_state(
        UserState,
        user_as_of(event_time_ms),
        entity_id="u-1",
        now_ms=now_ms,
        staleness_ms_max=DAY_MS,
    ).age_ms


def test_the_age_is_never_negative_though_events_may_be_ahead_of_the_clock() -> None:
    assert age_of(NOW_MS, now_ms=NOW_MS + 1) == 1
    assert age_of(NOW_MS, now_ms=NOW_MS) == 0
    assert age_of(NOW_MS, now_ms=NOW_MS - 300_000) == 0


def test_an_event_time_outside_the_calendar_is_damage() -> None:
    name = online_store.timestamp_field("user_velocity")
    at = online_store.state_fields("user").index(name)
    for event_time_ms, is_damage in (
        (-1, True),
        (0, False),
        (EVENT_TIME_MS_MAX, False),
        (EVENT_TIME_MS_MAX + 1, True),
    ):
        changed = user_as_of(NOW_MS)
        changed[at] = feast_values.timestamp_value(event_time_ms)
        decoded = decode_state(
            UserState, changed, entity_id="u-1", now_ms=NOW_MS, staleness_ms_max=2**63
        )
        assert (decoded.degraded is not None) is is_damage


def test_an_entity_with_some_of_its_fields_is_damage_and_with_none_is_new() -> None:
    whole = user_as_of(NOW_MS)
    for at in range(len(whole)):
        part = [None if place == at else value for place, value in enumerate(whole)]
        decoded = decode_state(
            UserState, part, entity_id="u-1", now_ms=NOW_MS, staleness_ms_max=DAY_MS
        )
        assert decoded.degraded == "online_state_unreadable"
        assert decoded.age_ms is None
    new = decode_state(UserState, NOTHING, entity_id="u-1", now_ms=NOW_MS, staleness_ms_max=DAY_MS)
    assert (new.degraded, new.reason) == (None, "no history for user 'u-1'")


def test_many_are_scored_as_each_by_itself_in_one_call_of_the_model() -> None:
    calls = []

    class CountingModel(FixedModel):
        def score(self, rows: Any) -> Scores:
            calls.append(len(rows))
            return Scores([row.transaction.amount_minor / 10**6 for row in rows], None)

    scoring = scoring_by(CountingModel())
    known = EntityPair(user_as_of(NOW_MS - 5_000), NOTHING)
    broken = EntityPair([b"\xff", b"1", b"", DEFINITION_DIGEST.encode()], NOTHING)
    asked = [
        (transaction(transaction_id=f"t-{at}", amount_minor=at * 1_000), Stored(pair))
        for at, pair in enumerate([known, None, broken, known])
    ]
    together = score_many([prepare(*one, scoring) for one in asked], scoring)
    assert calls == [4]
    assert together == [score_ad_hoc(*one, scoring) for one in asked]
    assert [scored.decision.degraded for scored in together] == [
        (),
        ("online_store_unavailable",),
        ("online_state_unreadable",),
        (),
    ]


@pytest.mark.expects_error_log("model .* failed; the heuristic decides")
def test_if_the_model_fails_the_heuristic_decides_and_the_decision_says_so() -> None:
    class BrokenModel(FixedModel):
        def score(self, rows: Any) -> Scores:
            raise RuntimeError("out of memory")

    broken = score_ad_hoc(transaction(), Stored(None), scoring_by(BrokenModel())).decision
    without = score_ad_hoc(transaction(), Stored(None), scoring_by(HEURISTIC)).decision
    assert broken.degraded == ("online_store_unavailable", "model_failed")
    assert replace(broken, degraded=()) == replace(without, degraded=())


def test_what_was_left_out_for_lack_of_time_is_named() -> None:
    model = FixedModel()
    model.batch_columns = BATCH_NAMES
    pair = EntityPair(user_as_of(NOW_MS - 5_000), NOTHING)
    for stored_, degraded in (
        (
            Stored(None, ("history_dropped", "batch_features_dropped")),
            ("history_dropped", "batch_features_dropped"),
        ),
        (Stored(pair, ("batch_features_dropped",)), ("batch_features_dropped",)),
    ):
        decision = score_ad_hoc(transaction(), stored_, scoring_by(model)).decision
        assert decision.degraded == degraded
        assert {decision.features[name] for name in BATCH_NAMES} == {None}


# --- rollouts -----------------------------------------------------------------------------


class Versioned(FixedModel):
    """A fixed model of a version; a score of None raises an error."""

    def __init__(self, version: str, score: float | None) -> None:
        super().__init__(score or 0.0)
        self.ref = replace(self.ref, version=version)
        self._fails = score is None

    def score(self, rows: Any) -> Scores:
        if self._fails:
            raise ValueError("broken")
        return super().score(rows)


@pytest.mark.parametrize("fails", [False, True])
def test_arms_are_assigned_as_in_the_stream_and_the_control_stands_in(
    fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    of = rollout(strategy="ab")
    champion = Versioned("1", 0.1)
    challenger = Versioned("2", None if fails else 0.6)
    in_use = RolloutInUse.of(of, {"control": champion, "challenger": challenger})
    scoring = Scoring(champion, POLICY, NOW_MS, 3_600_000, in_use)
    events = [transaction(transaction_id=f"t-{at}", user_id=f"u-{at}") for at in range(40)]
    with caplog.at_level("CRITICAL"):
        scored = score_many([prepare(event, Stored(None), scoring) for event in events], scoring)
    for event, each in zip(events, scored, strict=True):
        decision = each.decision
        wanted = Assigner(of).assign(user_id=event.user_id, transaction_id=event.transaction_id)
        assert (decision.arm, decision.propensity) == wanted
        is_own = decision.arm == "control" or not fails
        assert ("arm_unavailable" in decision.degraded) == (not is_own)
        assert decision.model.version == ("2" if decision.arm == "challenger" and is_own else "1")
    assert {each.decision.arm for each in scored} == {"control", "challenger"}
