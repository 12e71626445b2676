"""POST /predict: the score of an ad-hoc transaction, against the stored history."""

from __future__ import annotations

import time

from fastapi import APIRouter

from schemas.transaction import Transaction
from scoring.core.ad_hoc import score_ad_hoc
from scoring.core.errors import OnlineStoreUnavailableError
from scoring.core.ports import EntityPair, FeatureReader
from scoring.http.answers.predict import EXAMPLE, PredictAnswer
from scoring.http.deps import Parts, ValidPredictRequest
from scoring.http.openapi import answered, refused
from scoring.http.predict_request import BODY_BYTES_MAX, BODY_TIMEOUT_S, describe_body
from scoring.http.problems import Problem

router = APIRouter(tags=["Scoring"])


@router.post(
    "/predict",
    summary="Score an ad-hoc transaction",
    responses={
        200: answered("the score", EXAMPLE),
        **refused(
            Problem.of(408, f"the body was not complete in {BODY_TIMEOUT_S} s"),
            Problem.of(413, f"the body is over {BODY_BYTES_MAX} bytes"),
            Problem.of(422, "amount_minor is -1, limit 0", "amount_minor"),
        ),
    },
    openapi_extra={"requestBody": describe_body()},
)
async def predict(asked: ValidPredictRequest, parts: Parts) -> PredictAnswer:
    """Score a transaction against the stored history, as if it had just arrived.

    The body is a transaction as on the topic `transactions`, checked by the same strict rules;
    `transaction_id` and `event_time_ms` may be left out (generated, now). Nothing is stored
    and nothing is emitted. Without Redis or without a model there is still an answer:
    `degraded` says what was missing.
    """
    model = parts.models.current()
    scored = score_ad_hoc(
        asked.transaction,
        await _read_stored(parts.reader, asked.transaction, with_batch=bool(model.batch_columns)),
        model=model,
        policy=parts.policy,
        now_ms=asked.now_ms,
        staleness_ms_max=parts.staleness_ms_max,
    )
    for missing in scored.decision.degraded:
        parts.metrics.degraded.labels(missing).inc()
    return PredictAnswer.of(scored, latency_ms=1000 * (time.perf_counter() - asked.started_s))


async def _read_stored(
    reader: FeatureReader, transaction: Transaction, *, with_batch: bool
) -> EntityPair | None:
    try:
        return await reader.read_entities(
            user_id=transaction.user_id,
            merchant_id=transaction.merchant_id,
            with_batch=with_batch,
        )
    except OnlineStoreUnavailableError:
        return None
