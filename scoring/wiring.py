"""The only place of scoring that builds adapters from settings.

Entry points call it once, with settings; everything below is handed its parts. Connecting is
left to the parts themselves, so that building never waits for Redis, MLflow or Kafka.
"""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry

from schemas.settings import Settings
from scoring.batch import BatchScorer
from scoring.decision_store import RedisDecisionStore, connect_decision_store
from scoring.metrics import Metrics, build_metrics
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


class WorkerParts:
    """Everything a worker works with, for the time of one event loop."""

    def __init__(self, settings: Settings, *, registry: CollectorRegistry) -> None:
        """Build the parts; nothing is connected before `start`."""
        metrics = build_metrics(registry)
        self.models = build_models(settings, metrics=metrics)
        self.sink = KafkaSink(bootstrap=settings.kafka_bootstrap)
        self.store = build_decision_store(settings, metrics=metrics)
        self.scorer = BatchScorer(
            models=self.models,
            policy=build_policy(settings),
            store=self.store,
            sink=self.sink,
            clock_ms=wall_clock_ms,
            metrics=metrics,
        )

    async def close(self) -> None:
        """Stop threads and close connections; decisions not acknowledged are not waited for."""
        self.models.stop()
        self.sink.close()
        await self.store.close()
