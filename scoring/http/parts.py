"""What the routes of the API work with, as one value.

Built by `scoring.wiring` from adapters and by tests from fakes; routes read it and know
nothing of where it came from. Imports ports and the core only.
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
from scoring.stores.online_reader import connect_reader
from scoring.stores.registry import ChampionWatcher


@dataclass(frozen=True, slots=True)
class ApiParts:
    """The parts of one application, alive from its start-up to its shutdown.

    Attributes:
        reader: stored entities and first decisions.
        models: which model scores.
        refused_models: the versions that were refused, with the reason of each.
        policy: the thresholds.
        limits: what a transaction may say.
        staleness_ms_max: age in ms above which reasons call stored state old.
        metrics: where requests are counted.
        registry: what GET /metrics shows; holds ``metrics``.
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
"""Longest wait for the first model when the API starts, ms. A registry that hangs or is down
does not keep it from answering: the heuristic does, and /ready says so."""


@asynccontextmanager
async def open_api_parts(settings: Settings) -> AsyncIterator[ApiParts]:
    """Give the parts of the API, and watch the champion, for the time of one event loop."""
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
    # A daemon thread of our own: the event loop would wait at its end for one of its threads.
    starting = threading.Thread(target=models.start, name="champion-first-look", daemon=True)
    starting.start()
    limit_ms = wiring.steady_clock_ms() + MODEL_WAIT_MS
    while starting.is_alive() and wiring.steady_clock_ms() < limit_ms:
        await asyncio.sleep(0.01)
