"""The answer of GET /features: what is stored about a user and a merchant, as of now.

Evaluates stored state, so its builder may fail with `OnlineStoreUnavailableError`: here the history
itself was asked for, while a score can do without it and say so.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, Self

from pydantic import Field

from features.batch import NO_HISTORY
from features.definitions import DEFINITION_DIGEST, MERCHANT_FEATURES, USER_FEATURES
from features.engine.state import MerchantState, UserState, Values
from features.online.batch_values import UNAVAILABLE, unknown
from scoring.core.ad_hoc import State, batch_age_ms, batch_as_of, decode_state
from scoring.core.errors import OnlineStoreUnavailableError
from scoring.core.ports import EntityPair, StoredFields
from scoring.http.answers import (
    EXAMPLE_FEATURES,
    EXAMPLE_NOW_MS,
    Answer,
    ApproximateNames,
    DefinitionDigest,
    FeatureValues,
)

AgeMs = Annotated[
    int | None, Field(ge=0, description="ms since the last event in the history; null without one")
]
Sequence = Annotated[
    int, Field(ge=0, description="events in the history so far; each one adds one")
]


class AsOf(NamedTuple):
    """The time an answer is for, and the age from which history counts as old."""

    now_ms: int
    """ms since 1970 UTC."""
    staleness_ms_max: int
    """Age in ms above which a reason says so."""


class MerchantAnswer(Answer):
    """The stored features of the merchant that was asked for."""

    merchant_id: str
    age_ms: AgeMs
    sequence: Sequence
    approximate: ApproximateNames
    features: FeatureValues

    @classmethod
    def of(cls, merchant_id: str, fields: StoredFields, as_of: AsOf) -> Self:
        """Build the answer from a merchant's stored fields."""
        age_ms, values = _read(MerchantState, fields, merchant_id, as_of)
        return cls(
            merchant_id=merchant_id,
            age_ms=age_ms,
            sequence=values.sequence,
            approximate=values.approximate,
            features=values.features,
        )


class BatchAnswer(Answer):
    """The features of a user that are computed once a day, as of a midnight in UTC."""

    as_of_ms: int | None = Field(description="the snapshot; null where nothing is known")
    age_ms: int | None = Field(ge=0, description="ms since the snapshot; null without one")
    degraded: list[str] = Field(description="why nothing is known; empty is good")
    features: FeatureValues

    @classmethod
    def of(cls, pair: EntityPair, *, now_ms: int) -> Self:
        """Build the answer from what is stored; unknown values are null."""
        values = batch_as_of(pair, event_time_ms=now_ms) or unknown(UNAVAILABLE)
        return cls(
            as_of_ms=values.as_of_ms,
            age_ms=batch_age_ms(values.as_of_ms, now_ms=now_ms),
            degraded=[] if values.degraded is None else [values.degraded],
            features=values.features,
        )


class FeaturesAnswer(Answer):
    """The features of a user as of now."""

    user_id: str
    as_of_ms: int = Field(description="the time the values are for")
    age_ms: AgeMs
    sequence: Sequence
    approximate: ApproximateNames
    features: FeatureValues
    batch: BatchAnswer
    definition_digest: DefinitionDigest
    merchant: MerchantAnswer | None = Field(description="null when no merchant_id was given")

    @classmethod
    def of(cls, pair: EntityPair, *, user_id: str, merchant_id: str | None, as_of: AsOf) -> Self:
        """Build the answer.

        Args:
            pair: what the store holds, batch features included.
            user_id: the user that was asked for.
            merchant_id: the merchant that was asked for, or None.
            as_of: the time the values are for.

        Raises:
            OnlineStoreUnavailableError: what is stored cannot be read.
        """
        age_ms, values = _read(UserState, pair.user, user_id, as_of)
        return cls(
            user_id=user_id,
            as_of_ms=as_of.now_ms,
            age_ms=age_ms,
            sequence=values.sequence,
            approximate=values.approximate,
            features=values.features,
            batch=BatchAnswer.of(pair, now_ms=as_of.now_ms),
            definition_digest=DEFINITION_DIGEST,
            merchant=None
            if merchant_id is None
            else MerchantAnswer.of(merchant_id, pair.merchant, as_of),
        )


def _read(
    kind: type[State], fields: StoredFields, entity_id: str, as_of: AsOf
) -> tuple[int | None, Values]:
    decoded = decode_state(
        kind,
        fields,
        entity_id=entity_id,
        now_ms=as_of.now_ms,
        staleness_ms_max=as_of.staleness_ms_max,
    )
    if decoded.degraded:
        raise OnlineStoreUnavailableError(decoded.reason)
    return decoded.age_ms, decoded.state.read(as_of_ms=as_of.now_ms)


EXAMPLE = FeaturesAnswer(
    user_id="u-1",
    as_of_ms=EXAMPLE_NOW_MS,
    age_ms=5210,
    sequence=17,
    approximate=[],
    features={feature.name: EXAMPLE_FEATURES[feature.name] for feature in USER_FEATURES},
    batch=BatchAnswer(
        as_of_ms=EXAMPLE_NOW_MS - 7_200_000,
        age_ms=7_200_000,
        degraded=[],
        features=dict.fromkeys(NO_HISTORY, 1.0),
    ),
    definition_digest=DEFINITION_DIGEST,
    merchant=MerchantAnswer(
        merchant_id="m-1",
        age_ms=1_200,
        sequence=230,
        approximate=[],
        features={feature.name: 0 for feature in MERCHANT_FEATURES},
    ),
)
