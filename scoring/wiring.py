"""The only place of scoring that builds adapters from settings.

Entry points call it once, with settings; everything below is handed its parts. Connecting is
left to the parts themselves, so that building never waits for Redis, MLflow or Kafka.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry, ProcessCollector

from schemas.settings import Settings
from schemas.transaction import Limits
from scoring.api_metrics import build_api_metrics
from scoring.api_parts import ApiParts
from scoring.batch import BatchScorer, Channels
from scoring.batch_reader import RedisBatchReader, connect_batch_reader
from scoring.decision_store import RedisDecisionStore, connect_decision_store
from scoring.metrics import Metrics, build_metrics
from scoring.online_reader import connect_reader
from scoring.policy import Policy
from scoring.producer import KafkaSink
from scoring.registry import ChampionWatcher, MlflowRegistry


def wall_clock_ms() -> int:
    """Give the time in ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


def steady_clock_ms() -> float:
    """Give a time in ms that never goes back; only differences mean something."""
    return time.monotonic() * 1000


def build_policy(settings: Settings) -> Policy:
    """Make the policy of a deployment."""
    return Policy(
        review_threshold=settings.review_threshold, block_threshold=settings.block_threshold
    )


def build_models(settings: Settings, *, metrics: Metrics) -> ChampionWatcher:
    """Make the watcher of the champion; call its ``start`` and, at the end, its ``stop``."""
    registry = MlflowRegistry(
        settings.mlflow_tracking_uri,
        model_name=settings.model_name,
        alias=settings.champion_alias,
    )
    return ChampionWatcher(registry, poll_ms=settings.model_poll_ms, metrics=metrics)


def build_decision_store(settings: Settings, *, metrics: Metrics) -> RedisDecisionStore:
    """Make the store of first decisions. Call it within the event loop that will use it."""
    return connect_decision_store(
        redis_url=settings.redis_url,
        ttl_s=settings.decision_ttl_s,
        timeout_ms=settings.redis_timeout_ms,
        clock_ms=steady_clock_ms,
        metrics=metrics,
    )


def build_batch_reader(settings: Settings, *, metrics: Metrics) -> RedisBatchReader:
    """Make the reader of batch features. Call it within the event loop that will use it."""
    return connect_batch_reader(
        redis_url=settings.redis_url,
        project=settings.feast_project,
        timeout_ms=settings.redis_timeout_ms,
        clock_ms=steady_clock_ms,
        failures=metrics.batch_failures,
    )


class WorkerParts:
    """Everything a worker works with, for the time of one event loop."""

    def __init__(
        self, settings: Settings, *, registry: CollectorRegistry, channels: Channels
    ) -> None:
        """Build the parts; nothing is connected before `start`."""
        metrics = build_metrics(registry)
        self.models = build_models(settings, metrics=metrics)
        self.sink = KafkaSink(bootstrap=settings.kafka_bootstrap)
        self.store = build_decision_store(settings, metrics=metrics)
        self.batch_reader = build_batch_reader(settings, metrics=metrics)
        self.scorer = BatchScorer(
            models=self.models,
            policy=build_policy(settings),
            store=self.store,
            batch_reader=self.batch_reader,
            sink=self.sink,
            clock_ms=wall_clock_ms,
            metrics=metrics,
            channels=channels,
        )

    async def close(self) -> None:
        """Stop threads and close connections; decisions not acknowledged are not waited for."""
        self.models.stop()
        self.sink.close()
        await self.store.close()
        await self.batch_reader.close()


MODEL_WAIT_MS = 2_000
"""Longest wait for the first model when the API starts, ms. A registry that hangs or is down
does not keep it from answering: the heuristic does, and /ready says so."""


@asynccontextmanager
async def open_api_parts(settings: Settings) -> AsyncIterator[ApiParts]:
    """Give the parts of the API, and watch the champion, for the time of one event loop."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    models = build_models(settings, metrics=build_metrics(registry))
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
            policy=build_policy(settings),
            limits=Limits.from_settings(settings),
            staleness_ms_max=settings.staleness_ms_max,
            metrics=build_api_metrics(registry),
            registry=registry,
            now_ms=wall_clock_ms,
        )
    finally:
        await reader.close()
        await asyncio.to_thread(models.stop)


async def _start_in_background(models: ChampionWatcher) -> None:
    # A daemon thread of our own: the event loop would wait at its end for one of its threads.
    starting = threading.Thread(target=models.start, name="champion-first-look", daemon=True)
    starting.start()
    limit_ms = steady_clock_ms() + MODEL_WAIT_MS
    while starting.is_alive() and steady_clock_ms() < limit_ms:
        await asyncio.sleep(0.01)
