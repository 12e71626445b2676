"""The parts that the routes work with, as one value, and how a process builds them.

Routes get them by `scoring.http.deps.Parts` and know only the ports. `open_api_parts` builds them
from settings for a process; tests build them from fakes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector

from models.policy import Policy
from schemas.settings import Settings
from schemas.transaction import Limits
from scoring import wiring
from scoring.core.ports import FeatureReader, ModelSource
from scoring.http.metrics import ApiMetrics, build_api_metrics
from scoring.metrics import build_metrics
from scoring.stores.champion import ChampionWatcher
from scoring.stores.online_reader import connect_reader


@dataclass(frozen=True, slots=True)
class ApiParts:
    """The parts of one application, alive from its start-up to its shutdown.

    Attributes:
        reader: stored entities and first decisions.
        models: which model scores.
        refused_models: gives the versions that were refused, each with its reason.
        policy: the thresholds.
        limits: which transactions this deployment accepts.
        staleness_ms_max: age in ms above which reasons call stored state old.
        metrics: where requests are counted.
        registry: the metrics that GET /metrics shows, ``metrics`` among them.
        now_ms: the clock, ms since 1970 UTC.
    """

    reader: FeatureReader
    models: ModelSource
    refused_models: Callable[[], Mapping[str, str]]
    policy: Policy
    limits: Limits
    staleness_ms_max: int
    metrics: ApiMetrics
    registry: CollectorRegistry
    now_ms: Callable[[], int]


MODEL_WAIT_MS = 2_000
"""Longest wait for the first model when the API starts, ms. If the registry hangs or is down, the
API starts without a model: the heuristic decides, and /ready says so."""


@asynccontextmanager
async def open_api_parts(settings: Settings) -> AsyncIterator[ApiParts]:
    """Build the parts, watch the champion, and close both at the end of the event loop."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    models = wiring.build_models(settings, metrics=build_metrics(registry))
    reader = connect_reader(
        redis_url=settings.redis_url,
        project=settings.feast_project,
        timeout_ms=settings.redis_timeout_ms,
    )
    await _start_in_background(models)
    try:
        yield ApiParts(
            reader=reader,
            models=models,
            refused_models=models.refused,
            policy=wiring.build_policy(settings),
            limits=Limits.from_settings(settings),
            staleness_ms_max=settings.staleness_ms_max,
            metrics=build_api_metrics(registry),
            registry=registry,
            now_ms=wiring.wall_clock_ms,
        )
    finally:
        await reader.close()
        await asyncio.to_thread(models.stop)


async def _start_in_background(models: ChampionWatcher) -> None:
    # A daemon thread: at its end the event loop would wait for a thread of its own pool.
    starting = threading.Thread(target=models.start, name="champion-first-look", daemon=True)
    starting.start()
    limit_ms = wiring.steady_clock_ms() + MODEL_WAIT_MS
    while starting.is_alive() and wiring.steady_clock_ms() < limit_ms:
        await asyncio.sleep(0.01)
