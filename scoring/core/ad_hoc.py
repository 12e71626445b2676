"""Scores a transaction that is not in the stream, from the stored states of user and merchant.

The same engine as in the stream computes the features, and the same `decide` decides, but nothing
is stored. Pure: no client, no clock. Called by `scoring.http`, which reads the stored states and
passes the time.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

from features.definitions import DEFINITION_DIGEST, Entity
from features.engine.state import MerchantState, UserState, Values
from features.on_demand import on_demand_features
from features.online import batch_values
from features.online.batch_values import BatchValues, decode_batch_features
from features.online.layout import decode_values
from models.heuristic import HEURISTIC
from models.model import Model
from models.policy import Policy
from schemas.decision import Decision, Offset
from schemas.errors import shown
from schemas.feature_row import FeatureRow, Origin
from schemas.fields import EVENT_TIME_MS_MAX
from schemas.transaction import Transaction
from scoring.core.arms import ArmGroup, group_by_arm, in_arm
from scoring.core.decide import decide_many
from scoring.core.ports import EntityPair, StoredFields
from scoring.core.rollouts import RolloutInUse

DEGRADED_STORE_UNAVAILABLE = "online_store_unavailable"
"""The online store did not answer: the features are those of the event alone."""
DEGRADED_STATE_UNREADABLE = "online_state_unreadable"
"""The stored state is damaged, or of other feature definitions: it was not used."""
DEGRADED_HISTORY_DROPPED = "history_dropped"
"""No time was left to read the histories: the features are those of the event alone."""
DEGRADED_BATCH_FEATURES_DROPPED = batch_values.DROPPED
"""Too little time was left to read the batch features, too: they are null."""
DEGRADED_MODEL_FAILED = "model_failed"
"""The model raised an error: the heuristic decided."""

log = logging.getLogger(__name__)

# An ad-hoc transaction has no place in a log; no record has a negative offset.
_NO_ORIGIN = Origin(partition=-1, offset=-1, timestamp_ms=-1)
_NO_OFFSET = Offset(partition=-1, offset=-1)

_ENTITIES: Mapping[type, Entity] = {UserState: "user", MerchantState: "merchant"}

State = TypeVar("State", UserState, MerchantState)


@dataclass(frozen=True, slots=True)
class DecodedState(Generic[State]):
    """The stored state of one entity, decoded.

    Attributes:
        state: as stored; a new one if none is stored or the stored one cannot be used.
        age_ms: time since the last event in the state, ms, not negative; None without an event.
        reason: a remark on the state for the reasons of the decision; None if there is none.
        degraded: the word for ``degraded`` if the stored state could not be used, else None.
    """

    state: State
    age_ms: int | None
    reason: str | None = None
    degraded: str | None = None


@dataclass(frozen=True, slots=True)
class AdHocScore:
    """A decision about an ad-hoc transaction, with the ages of its inputs.

    Attributes:
        decision: the decision.
        user_age_ms: time since the user's last event, ms; None without one.
        merchant_age_ms: time since the merchant's last event, ms; None without one.
        batch_age_ms: time since the snapshot of the batch features, ms; None without one.
    """

    decision: Decision
    user_age_ms: int | None
    merchant_age_ms: int | None
    batch_age_ms: int | None


class Scoring(NamedTuple):
    """What all ad-hoc scores of one request have in common."""

    model: Model
    policy: Policy
    now_ms: int
    """The present time, ms since 1970 UTC."""
    staleness_ms_max: int
    """Age of a state, ms, above which a reason mentions it."""
    rollout: RolloutInUse | None = None
    """The rollout that splits the traffic; ``model`` is then the champion."""


class Stored(NamedTuple):
    """What was read for one ad-hoc transaction."""

    pair: EntityPair | None
    """None if the histories could not be read, or were not."""
    dropped: tuple[str, ...] = ()
    """What was left out for lack of time: `DEGRADED_HISTORY_DROPPED`,
    `DEGRADED_BATCH_FEATURES_DROPPED`."""


def decode_state(
    kind: type[State],
    fields: StoredFields,
    *,
    entity_id: str,
    now_ms: int,
    staleness_ms_max: int,
) -> DecodedState[State]:
    """Decode an entity's stored state.

    An entity that was never seen gets a new state, and so does one whose bytes cannot be used.
    The result says which case it is.

    Args:
        kind: the type of the state.
        fields: as stored.
        entity_id: for the reason.
        now_ms: the present time, ms since 1970 UTC.
        staleness_ms_max: age, ms, above which the reason mentions the age.
    """
    name = f"{_ENTITIES[kind]} {shown(entity_id)}"
    try:
        entity = decode_values(_ENTITIES[kind], fields)
        if entity is None:
            return DecodedState(kind(), None, f"no history for {name}")
        if entity.digest != DEFINITION_DIGEST:
            raise ValueError(f"it follows other definitions, {shown(entity.digest)}")
        if not 0 <= entity.event_time_ms <= EVENT_TIME_MS_MAX:
            raise ValueError(f"its event time is {shown(entity.event_time_ms)}")
        state = kind.decode(entity.state)
    except ValueError as error:
        reason = f"history of {name} cannot be read, not used: {error!s:.120}"
        return DecodedState(kind(), None, reason, DEGRADED_STATE_UNREADABLE)
    age_ms = max(0, now_ms - entity.event_time_ms)
    if age_ms <= staleness_ms_max:
        return DecodedState(state, age_ms)
    reason = f"history of {name} is {age_ms} ms old, above staleness_ms_max={staleness_ms_max}"
    return DecodedState(state, age_ms, reason)


def score_ad_hoc(transaction: Transaction, stored: Stored, scoring: Scoring) -> AdHocScore:
    """Decide on one transaction; see `score_many`."""
    return score_many([prepare(transaction, stored, scoring)], scoring)[0]


class Prepared(NamedTuple):
    """An ad-hoc transaction with its features, ready to be scored."""

    row: FeatureRow
    user: DecodedState[UserState]
    merchant: DecodedState[MerchantState]
    batch: BatchValues | None


def prepare(transaction: Transaction, stored: Stored, scoring: Scoring) -> Prepared:
    """Compute the features of a transaction as if it had just arrived.

    If the histories were not read, the features are computed as for a new user and a new
    merchant. A model knows such values from its training, whereas it has never seen nulls in
    their place. They are marked approximate, and the decision is ``degraded``.

    Args:
        transaction: the features are as of its ``event_time_ms``.
        stored: what the online store holds.
        scoring: the time.
    """
    user, merchant = _decode_both(transaction, stored, scoring)
    batch = batch_as_of(stored.pair, event_time_ms=transaction.event_time_ms)
    if DEGRADED_BATCH_FEATURES_DROPPED in stored.dropped:
        batch = batch_values.unknown(batch_values.DROPPED)
    return Prepared(_row(transaction, user, merchant, scoring.now_ms), user, merchant, batch)


def score_many(prepared: Sequence[Prepared], scoring: Scoring) -> list[AdHocScore]:
    """Decide on transactions, with one call of each model, without storing anything.

    Each score is the same as if its transaction had been the only one. A model that raises an
    error is logged, and the heuristic decides instead. In a rollout, arms are assigned as in the
    stream, and the control's model takes the place of one that fails. Nothing is let through,
    because the draw would not be logged.
    """
    degraded: tuple[str, ...] = ()
    if scoring.rollout is None:
        decisions, degraded = _decide(prepared, scoring)
    else:
        decisions = _decide_by_arms(prepared, scoring, scoring.rollout)
    return [
        _completed(decision, of_one, degraded, scoring.now_ms)
        for decision, of_one in zip(decisions, prepared, strict=True)
    ]


def _decide(
    prepared: Sequence[Prepared], scoring: Scoring
) -> tuple[list[Decision], tuple[str, ...]]:
    try:
        return _decide_by(scoring.model, prepared, scoring), ()
    except Exception:
        # A broken model must not leave a transaction without a decision.
        log.exception("model %s failed; the heuristic decides", scoring.model.ref)
        return _decide_by(HEURISTIC, prepared, scoring), (DEGRADED_MODEL_FAILED,)


def _decide_by_arms(
    prepared: Sequence[Prepared], scoring: Scoring, rollout: RolloutInUse
) -> list[Decision]:
    events = [of_one.row.transaction for of_one in prepared]
    assigned = rollout.assigner.assign_all(
        (event.user_id.encode(), event.transaction_id.encode()) for event in events
    )
    decided: dict[int, Decision] = {}
    for group in group_by_arm(rollout, assigned, champion=scoring.model):
        decisions, words = _decide_by_ladder(group, [prepared[at] for at in group.at], scoring)
        for at, decision in zip(group.at, decisions, strict=True):
            decided[at] = in_arm(
                decision, group.of, outcome=decision.decision, policy=None, degraded=words
            )
    return [decided[at] for at in range(len(prepared))]


def _decide_by_ladder(
    group: ArmGroup, prepared: Sequence[Prepared], scoring: Scoring
) -> tuple[list[Decision], tuple[str, ...]]:
    *models, (last, words) = group.ladder
    for model, degraded in models:
        try:
            return _decide_by(model, prepared, scoring), degraded
        except Exception:
            # As in `_decide`; the next model of the ladder takes its place.
            log.exception("%s: model %s failed; the next one decides", group.of.arm, model.ref)
    return _decide_by(last, prepared, scoring), words


def _decide_by(model: Model, prepared: Sequence[Prepared], scoring: Scoring) -> list[Decision]:
    unread = batch_values.unknown(batch_values.UNAVAILABLE)
    batch = [of_one.batch or unread for of_one in prepared]
    return decide_many(
        [of_one.row for of_one in prepared],
        model=model,
        policy=scoring.policy,
        features_offsets=[_NO_OFFSET] * len(prepared),
        now_ms=scoring.now_ms,
        batch=batch if model.batch_columns else None,
    )


def _completed(
    decision: Decision, prepared: Prepared, degraded: tuple[str, ...], now_ms: int
) -> AdHocScore:
    user, merchant = prepared.user, prepared.merchant
    return AdHocScore(
        replace(
            decision,
            # If the model failed, the heuristic's word for "no model" would not be true.
            degraded=_each_once(user.degraded, merchant.degraded) + (degraded or decision.degraded),
            reasons=decision.reasons + _each_once(user.reason, merchant.reason),
        ),
        user.age_ms,
        merchant.age_ms,
        batch_age_ms(decision.batch_as_of_ms, now_ms=now_ms),
    )


def batch_as_of(pair: EntityPair | None, *, event_time_ms: int) -> BatchValues | None:
    """Give the user's batch features as of an event time; None if they were not read.

    Args:
        pair: the stored states, or None if they could not be read.
        event_time_ms: ms since 1970 UTC.
    """
    if pair is None or pair.batch is None:
        return None
    return decode_batch_features(*pair.batch).as_of(event_time_ms)


def batch_age_ms(as_of_ms: int | None, *, now_ms: int) -> int | None:
    """Give the age of a snapshot, ms, not negative; None if there is none."""
    return None if as_of_ms is None else max(0, now_ms - as_of_ms)


def _decode_both(
    transaction: Transaction, stored: Stored, scoring: Scoring
) -> tuple[DecodedState[UserState], DecodedState[MerchantState]]:
    pair = stored.pair
    if pair is None:
        word = DEGRADED_STORE_UNAVAILABLE
        if DEGRADED_HISTORY_DROPPED in stored.dropped:
            word = DEGRADED_HISTORY_DROPPED
        reason = "history not available: this event alone counts"
        return (
            DecodedState(UserState(), None, reason, word),
            DecodedState(MerchantState(), None, reason, word),
        )
    user = decode_state(
        UserState,
        pair.user,
        entity_id=transaction.user_id,
        now_ms=scoring.now_ms,
        staleness_ms_max=scoring.staleness_ms_max,
    )
    merchant = decode_state(
        MerchantState,
        pair.merchant,
        entity_id=transaction.merchant_id,
        now_ms=scoring.now_ms,
        staleness_ms_max=scoring.staleness_ms_max,
    )
    return user, merchant


def _row(
    transaction: Transaction,
    user: DecodedState[UserState],
    merchant: DecodedState[MerchantState],
    now_ms: int,
) -> FeatureRow:
    of_user = user.state.peek(
        transaction_id=transaction.transaction_id,
        merchant_id=transaction.merchant_id,
        amount_minor=transaction.amount_minor,
        event_time_ms=transaction.event_time_ms,
    )
    of_merchant = merchant.state.read(as_of_ms=transaction.event_time_ms)
    return FeatureRow(
        transaction=transaction,
        features=(
            of_user.features | of_merchant.features | on_demand_features(transaction.event_time_ms)
        ),
        approximate=_approximate(user, of_user) + _approximate(merchant, of_merchant),
        definition_digest=DEFINITION_DIGEST,
        repeat=of_user.repeat,
        user_sequence=of_user.sequence,
        merchant_sequence=of_merchant.sequence,
        origin=_NO_ORIGIN,
        computed_at_ms=now_ms,
    )


def _approximate(decoded: DecodedState[State], values: Values) -> tuple[str, ...]:
    # The state could not be used, so every value may differ from the stream's.
    return tuple(values.features) if decoded.degraded else values.approximate


def _each_once(*texts: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))
