"""The metrics of the HTTP service, and the middleware that counts requests.

The other metrics of this process (model in use, registry) are in `scoring.metrics`. A route label
is the route's pattern, never an address, so the number of labels does not grow with requests.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scoring.metrics import MetricSpec, build_metric

SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)

NO_ROUTE = "none"
"""The route label of requests that match no route."""

API_METRICS = {
    "requests": MetricSpec(
        "api_requests",
        "counter",
        "Requests answered, by route and HTTP status.",
        "5xx: 503 of /features, /decisions means Redis; 500 is a bug, the log has it. "
        "Many 422: a client sends what the contract refuses.",
        labels=("route", "status"),
    ),
    "request_seconds": MetricSpec(
        "api_request_seconds",
        "histogram",
        "Time from a request's head to its answer, in seconds, by route.",
        "Above redis_timeout_ms: the machine is busy. Just below it: Redis is slow.",
        labels=("route",),
        buckets=SECONDS,
    ),
    "degraded": MetricSpec(
        "api_degraded",
        "counter",
        "Ad-hoc scores given without something, by what was missing.",
        "online_store_unavailable: look at Redis. no_model: register a champion. "
        "champion_unavailable: look at MLflow, or train again if the log says that the champion is "
        "refused. "
        "online_state_unreadable: the velocity job writes other definitions than this code reads. "
        "history_dropped, batch_features_dropped: the machine is busy, or clients set short "
        "deadlines. model_failed: the log has the error; roll back.",
        labels=("missing",),
    ),
    "redis_failures": MetricSpec(
        "api_redis_failures",
        "counter",
        "Reads of Redis that failed or timed out.",
        "Look at Redis; raise redis_timeout_ms if it is only slow.",
    ),
    "workers": MetricSpec(
        "api_workers",
        "gauge",
        "Processes that serve the API.",
        "Below WEIR_API_WORKERS: a worker has ended and starts again; the log says why.",
    ),
}
"""Field of `ApiMetrics` to the description of its metric."""


class ApiMetrics(NamedTuple):
    """The metric objects, one for each entry of `API_METRICS`."""

    requests: Counter
    request_seconds: Histogram
    degraded: Counter
    redis_failures: Counter
    workers: Gauge


def build_api_metrics(registry: CollectorRegistry) -> ApiMetrics:
    """Make the metrics in the caller's registry: one for each process or test."""
    return ApiMetrics(
        **{field: build_metric(spec, registry) for field, spec in API_METRICS.items()}
    )


class CountRequests:
    """ASGI middleware: counts and times every request, also one that fails."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the application, whose state holds the parts with the metrics."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and count it when it is over."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        # An error without a handler becomes a 500 in a layer around this one.
        status = 500

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting_status)
        finally:
            route = getattr(scope.get("route"), "path", NO_ROUTE)
            metrics: ApiMetrics = scope["app"].state.parts.metrics
            metrics.requests.labels(route, status).inc()
            metrics.request_seconds.labels(route).observe(time.perf_counter() - started_s)
