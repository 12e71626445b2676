"""The HTTP service: ad-hoc scores, features as of now, and first decisions.

Owns routes, limits on requests, and the shape of answers. Scoring is `scoring.core.ad_hoc`'s,
errors become responses in `scoring.http.problems`, parts are built by `scoring.wiring`.
Nothing asked here is stored or emitted. Run as ``python -m scoring.http``.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from fastapi import APIRouter, FastAPI, Query, Request
from fastapi import Path as PathParameter
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.responses import Response

from models.heuristic import HEURISTIC_NAME
from schemas import codec
from schemas.errors import shown
from schemas.settings import Settings
from schemas.transaction import Limits, Transaction
from scoring.core.ad_hoc import score_ad_hoc
from scoring.core.errors import OnlineStoreUnavailableError
from scoring.core.ports import EntityPair, FeatureReader
from scoring.http import contract
from scoring.http.answers import features_answer, model_answer, predict_answer
from scoring.http.metrics import CountRequests
from scoring.http.parts import ApiParts, open_api_parts
from scoring.http.problems import install_problems

BODY_BYTES_MAX = 65_536
"""Largest body: some hundred times a transaction with all its fields at their limits."""
BODY_DISCARDED_BYTES_MAX = 8 * 1024 * 1024
"""How much of a body that is too large is read and forgotten, so that its sender gets to read
the answer: a connection that is closed with bytes unread is reset, and the answer is lost."""
BODY_TIMEOUT_S = 5
"""Longest wait for a body to be complete."""
REQUESTS_MAX = 1_000
"""Most requests in progress; more are refused with 503 at once."""
SHUTDOWN_TIMEOUT_S = 5
"""Longest wait for requests in progress at the end of the process."""

PAGES = Path(__file__).parent / "pages"
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; img-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}

router = APIRouter()


def create_app(
    open_parts: Callable[[], AbstractAsyncContextManager[ApiParts]],
) -> FastAPI:
    """Make the application; its parts live from start-up to shutdown.

    Args:
        open_parts: gives the parts for the time of the application. Must not wait for
            Redis or MLflow: the service answers, degraded, without them.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_parts() as parts:
            app.state.parts = parts
            yield

    app = FastAPI(
        title="Weir",
        version="1",
        description=contract.DESCRIPTION,
        lifespan=lifespan,
        # The stock pages load their scripts from elsewhere; /docs is a page of our own.
        docs_url=None,
        redoc_url=None,
        # An id may end in a slash: a redirect would ask for another one.
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    app.add_middleware(CountRequests)
    install_problems(app)
    app.include_router(router)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


# --- routes ----------------------------------------------------------------------------


@router.post(
    "/predict",
    summary="Score an ad-hoc transaction",
    responses=contract.PREDICT,
    openapi_extra={"requestBody": contract.predict_body()},
)
async def predict(request: Request) -> Response:
    """Score a transaction against the stored history, as if it had just arrived.

    The body is a transaction as on the topic `transactions`, read as strictly;
    `transaction_id` and `event_time_ms` may be left out (generated, now). Nothing is stored
    and nothing is emitted. There is an answer without Redis and without a model, too:
    `degraded` says what it had to do without.
    """
    started_s = time.perf_counter()
    parts = _parts(request)
    body = await _read_body(request)
    now_ms = parts.now_ms()
    transaction = _transaction(body, limits=parts.limits, now_ms=now_ms)
    model = parts.models.current()
    scored = score_ad_hoc(
        transaction,
        await _stored(parts.reader, transaction, with_batch=bool(model.batch_columns)),
        model=model,
        policy=parts.policy,
        now_ms=now_ms,
        staleness_ms_max=parts.staleness_ms_max,
    )
    for missing in scored.decision.degraded:
        parts.metrics.degraded.labels(missing).inc()
    return _json(predict_answer(scored, latency_ms=1000 * (time.perf_counter() - started_s)))


@router.get(
    "/features/{user_id:path}",
    summary="The features of a user as of now",
    responses=contract.FEATURES,
)
async def features(
    request: Request,
    user_id: str = PathParameter(description="the user's id, 1 to 128 characters"),
    merchant_id: str | None = Query(None, description="a merchant to give the features of, too"),
) -> Response:
    """Evaluate the stored history of a user (and a merchant) as of now.

    `age_ms` is the time since the last event that is part of it. A merchant that was never
    seen has the features of no history; an unknown user is a 404. `batch` has the features that
    are computed once a day, with the snapshot they are as of and its age.
    """
    parts = _parts(request)
    codec.check_id(user_id, field="user_id")
    if merchant_id is not None:
        codec.check_id(merchant_id, field="merchant_id")
    pair = await parts.reader.read_entities(
        user_id=user_id, merchant_id=merchant_id, with_batch=True
    )
    if not any(pair.user):
        raise HTTPException(404, f"no history for user {shown(user_id)}")
    return _json(
        features_answer(
            pair,
            user_id=user_id,
            merchant_id=merchant_id,
            now_ms=parts.now_ms(),
            staleness_ms_max=parts.staleness_ms_max,
        )
    )


@router.get(
    "/decisions/{transaction_id:path}",
    summary="The first decision about a transaction",
    responses=contract.DECISION,
)
async def first_decision(
    request: Request,
    transaction_id: str = PathParameter(description="the transaction's id, 1 to 128 characters"),
) -> Response:
    """Give the first decision about a transaction of the stream, as it was emitted.

    It stands while it is remembered (WEIR_DECISION_TTL_S). Ad-hoc scores are not decisions.
    """
    codec.check_id(transaction_id, field="transaction_id")
    value = await _parts(request).reader.read_decision(transaction_id)
    if value is None:
        raise HTTPException(
            404,
            f"no decision about transaction {shown(transaction_id)}: "
            "not decided yet, or longer ago than decisions are remembered",
        )
    return Response(value, media_type="application/json")


@router.get("/health", summary="Whether the process lives", responses=contract.HEALTH)
async def health() -> Response:
    """Answer while the process can answer at all; it asks nobody else."""
    return _json({"status": "live"})


@router.get(
    "/ready",
    summary="Whether predictions are answered in full",
    responses=contract.READY,
)
async def ready(request: Request) -> Response:
    """Say whether Redis answers and a model is loaded. Without them answers are degraded."""
    parts = _parts(request)
    reasons = []
    try:
        await parts.reader.ping()
    except OnlineStoreUnavailableError as error:
        reasons.append(str(error))
    reachable = not reasons
    model = parts.models.current().ref
    loaded = model.name != HEURISTIC_NAME
    if not loaded:
        reasons.append("no model is loaded: the heuristic decides")
    answer = {
        "ready": not reasons,
        "reasons": reasons,
        "redis": {"reachable": reachable},
        "model": {
            "loaded": loaded,
            "model": model_answer(model),
            "refused": parts.refused_models(),
        },
    }
    return _json(answer, status=503 if reasons else 200)


@router.get(
    "/metrics", summary="Prometheus metrics", response_class=Response, responses=contract.METRICS
)
async def metrics(request: Request) -> Response:
    """Give the metrics of this process in the Prometheus text format."""
    return Response(generate_latest(_parts(request).registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/", include_in_schema=False)
async def page(request: Request) -> Response:
    """Serve the page to score a transaction by hand."""
    currency = _parts(request).limits.currency.encode()
    return _page("index.html", currency)


@router.get("/docs", include_in_schema=False)
async def docs() -> Response:
    """Serve the reference: /openapi.json, made readable by a page of our own."""
    return _page("docs.html")


# --- requests and answers --------------------------------------------------------------


def _parts(request: Request) -> ApiParts:
    parts: ApiParts = request.app.state.parts
    return parts


async def _read_body(request: Request) -> bytes:
    chunks = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= BODY_BYTES_MAX:
                    chunks.append(chunk)
                elif size > BODY_DISCARDED_BYTES_MAX:
                    break
    except TimeoutError:
        raise HTTPException(
            408, f"the body was not complete in {BODY_TIMEOUT_S} s", {"Connection": "close"}
        ) from None
    if size > BODY_BYTES_MAX:
        raise HTTPException(
            413, f"the body is over {BODY_BYTES_MAX} bytes", {"Connection": "close"}
        )
    return b"".join(chunks)


def _transaction(body: bytes, *, limits: Limits, now_ms: int) -> Transaction:
    fields = codec.parse_object(body)
    # As for the other optional fields, null says the same as leaving the field out.
    if fields.get("transaction_id") is None:
        fields["transaction_id"] = f"adhoc-{uuid.uuid4().hex}"
    if fields.get("event_time_ms") is None:
        fields["event_time_ms"] = now_ms
    return codec.transaction_from_object(fields, limits=limits, now_ms=now_ms, is_replay=False)


async def _stored(
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


def _json(answer: dict[str, Any], *, status: int = 200) -> Response:
    return Response(orjson.dumps(answer), status_code=status, media_type="application/json")


def _page(name: str, currency: bytes = b"") -> Response:
    content = (PAGES / name).read_bytes().replace(b"__CURRENCY__", currency)
    return Response(content, media_type="text/html", headers=PAGE_HEADERS)


# --- the process -----------------------------------------------------------------------


def main() -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in progress and exit with 0."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # uvicorn stops on these by itself, then raises the signal again for whoever was there
    # before: without this the process would be killed by it, after a clean shutdown.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: sys.exit(0))
    settings = Settings()
    # What has been imported stays for ever. Looking through it would stop all requests for some
    # 50 ms, whenever Python collects its oldest generation.
    gc.collect()
    gc.freeze()
    uvicorn.run(
        create_app(lambda: open_api_parts(settings)),
        host=settings.api_host,
        port=settings.api_port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        limit_concurrency=REQUESTS_MAX,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
    )
