"""Scores the transactions of a request: reads what is stored, within the deadline, and decides.

One read and one call of the model for a request, however many transactions it has. Whatever
fails or is too slow is left out, and the answers say so: there is no path without an answer. Called
by the routes in `scoring.http.routes.predict`.
"""

from __future__ import annotations

import asyncio
import time

from fastapi import Request

from schemas.errors import InvalidEventError
from schemas.transaction import Transaction
from scoring.core.ad_hoc import (
    DEGRADED_BATCH_FEATURES_DROPPED,
    DEGRADED_HISTORY_DROPPED,
    AdHocScore,
    Prepared,
    Scoring,
    Stored,
    prepare,
    score_many,
)
from scoring.core.errors import OnlineStoreUnavailableError
from scoring.core.ports import EntityPair
from scoring.http.answers.predict import PredictAnswer
from scoring.http.deadline import DEADLINE_HEADER, Deadline, ReadPlan
from scoring.http.parts import ApiParts
from scoring.http.predict_request import PredictRequest

AT_ONCE = 100
"""How many transactions are prepared or answered before other requests get their turn."""


async def answer_all(
    request: Request, asked: PredictRequest, parts: ApiParts
) -> list[PredictAnswer | InvalidEventError]:
    """Score every valid transaction of a request.

    Blocks: for Redis until the deadline at most; the event loop for some ms for each hundred
    transactions, and for one call of the model.

    Raises:
        InvalidEventError: the header of the deadline is invalid.
    """
    deadline = Deadline.of(
        request.headers.get(DEADLINE_HEADER),
        limit_ms=parts.deadline_ms,
        started_ms=1000 * asked.started_s,
        transactions=len(asked.transactions),
    )
    valid = [each for each in asked.transactions if not isinstance(each, InvalidEventError)]
    scored = iter(await _score(valid, asked.now_ms, deadline, parts))
    answers: list[PredictAnswer | InvalidEventError] = []
    for at, each in enumerate(asked.transactions, start=1):
        if isinstance(each, InvalidEventError):
            answers.append(each)
        else:
            latency_ms = 1000 * (time.perf_counter() - asked.started_s)
            answers.append(PredictAnswer.of(next(scored), latency_ms=latency_ms))
        if at % AT_ONCE == 0:
            await asyncio.sleep(0)
    return answers


async def _score(
    transactions: list[Transaction], now_ms: int, deadline: Deadline, parts: ApiParts
) -> list[AdHocScore]:
    if not transactions:
        return []
    champion, rollout = parts.models.current(), parts.rollouts.current()
    scoring = Scoring(champion, parts.policy, now_ms, parts.staleness_ms_max, rollout)
    takes_batch = bool(champion.batch_columns)
    if rollout is not None:
        takes_batch = rollout.model_with_batch_features(champion) is not None
    stored = await _read(transactions, deadline, parts, wants_batch=takes_batch)
    prepared: list[Prepared] = []
    for transaction, of_one in zip(transactions, stored, strict=True):
        prepared.append(prepare(transaction, of_one, scoring))
        if len(prepared) % AT_ONCE == 0:
            await asyncio.sleep(0)
    scored = score_many(prepared, scoring)
    for each in scored:
        for missing in each.decision.degraded:
            parts.metrics.degraded.labels(missing).inc()
    return scored


async def _read(
    transactions: list[Transaction], deadline: Deadline, parts: ApiParts, *, wants_batch: bool
) -> list[Stored]:
    plan = deadline.plan(1000 * time.perf_counter(), with_batch=wants_batch)
    dropped: tuple[str, ...] = ()
    if not plan.history:
        dropped = (DEGRADED_HISTORY_DROPPED,)
    if wants_batch and not plan.batch_features:
        dropped += (DEGRADED_BATCH_FEATURES_DROPPED,)
    if not plan.history:
        return [Stored(None, dropped)] * len(transactions)
    try:
        pairs = await _read_pairs(transactions, plan, parts)
    except OnlineStoreUnavailableError:
        return [Stored(None, dropped)] * len(transactions)
    return [Stored(pair, dropped) for pair in pairs]


async def _read_pairs(
    transactions: list[Transaction], plan: ReadPlan, parts: ApiParts
) -> list[EntityPair]:
    limit_ms = min(plan.timeout_ms, parts.read_timeout_ms)
    return await parts.reader.read_many(
        [(each.user_id, each.merchant_id) for each in transactions],
        with_batch=plan.batch_features,
        timeout_ms=limit_ms,
    )
