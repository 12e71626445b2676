"""The answers of the API as objects: what was scored, what is stored, evaluated as of now.

Pure. Called by the routes of `scoring.http.app`; `scoring.http.contract` describes what comes out.
"""

from __future__ import annotations

from typing import Any

from features.definitions import DEFINITION_DIGEST
from features.engine.state import MerchantState, UserState
from features.online.batch_values import UNAVAILABLE, unknown
from schemas.decision import ModelRef
from scoring.core.ad_hoc import AdHocScore, State, batch_age_ms, batch_as_of, open_state
from scoring.core.errors import OnlineStoreUnavailableError
from scoring.core.ports import EntityPair, StoredFields


def predict_answer(scored: AdHocScore, *, latency_ms: float) -> dict[str, Any]:
    """Give the body of POST /predict.

    Args:
        scored: what was decided.
        latency_ms: time spent on the request, ms.
    """
    decision = scored.decision
    return {
        "transaction_id": decision.transaction_id,
        "score": decision.score,
        "decision": decision.decision,
        "model_version": decision.model.version,
        "model": model_answer(decision.model),
        "latency_ms": round(latency_ms, 3),
        "reasons": decision.reasons,
        "degraded": decision.degraded,
        "features": decision.features,
        "approximate": decision.approximate,
        "vector": decision.vector,
        "feature_age_ms": {
            "user": scored.user_age_ms,
            "merchant": scored.merchant_age_ms,
            "batch": scored.batch_age_ms,
        },
        "batch_as_of_ms": decision.batch_as_of_ms,
        "event_time_ms": decision.event_time_ms,
        "definition_digest": decision.definition_digest,
    }


def features_answer(
    pair: EntityPair,
    *,
    user_id: str,
    merchant_id: str | None,
    now_ms: int,
    staleness_ms_max: int,
) -> dict[str, Any]:
    """Give the body of GET /features.

    Args:
        pair: what the store holds, batch features included.
        user_id: who was asked for.
        merchant_id: which merchant was asked for, too; None for none.
        now_ms: the time the values are for, ms since 1970 UTC.
        staleness_ms_max: age in ms above which a reason says so.

    Raises:
        OnlineStoreUnavailableError: what is stored cannot be read.
    """
    answer: dict[str, Any] = {
        "user_id": user_id,
        "as_of_ms": now_ms,
        **_entity_answer(UserState, pair.user, user_id, now_ms, staleness_ms_max),
        "batch": _batch_answer(pair, now_ms),
        "definition_digest": DEFINITION_DIGEST,
        "merchant": None,
    }
    if merchant_id is not None:
        merchant = _entity_answer(
            MerchantState, pair.merchant, merchant_id, now_ms, staleness_ms_max
        )
        answer["merchant"] = {"merchant_id": merchant_id, **merchant}
    return answer


def _batch_answer(pair: EntityPair, now_ms: int) -> dict[str, Any]:
    values = batch_as_of(pair, event_time_ms=now_ms) or unknown(UNAVAILABLE)
    return {
        "as_of_ms": values.as_of_ms,
        "age_ms": batch_age_ms(values.as_of_ms, now_ms=now_ms),
        "degraded": [] if values.degraded is None else [values.degraded],
        "features": values.features,
    }


def _entity_answer(
    kind: type[State],
    fields: StoredFields,
    entity_id: str,
    now_ms: int,
    staleness_ms_max: int,
) -> dict[str, Any]:
    opened = open_state(
        kind, fields, entity_id=entity_id, now_ms=now_ms, staleness_ms_max=staleness_ms_max
    )
    if opened.degraded:
        # A score can do without history and say so; here the history is what was asked for.
        raise OnlineStoreUnavailableError(opened.reason)
    values = opened.state.read(as_of_ms=now_ms)
    return {
        "age_ms": opened.age_ms,
        "sequence": values.sequence,
        "approximate": values.approximate,
        "features": values.features,
    }


def model_answer(ref: ModelRef) -> dict[str, str]:
    """Name a model."""
    return {"name": ref.name, "version": ref.version, "digest": ref.digest}
