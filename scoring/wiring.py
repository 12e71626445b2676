"""The only place of scoring that builds adapters from settings.

`scoring.worker.parts` and `scoring.http.parts` call it once each, with settings; everything else
is handed its parts. Connecting is
left to the parts themselves, so that building never waits for Redis, MLflow or Kafka.
"""

from __future__ import annotations

import time

from clients.mlflow_rest import MlflowRest
from models.policy import Policy
from schemas.settings import Settings
from scoring.metrics import Metrics
from scoring.stores.batch_reader import RedisBatchReader, connect_batch_reader
from scoring.stores.champion import TIMEOUT_S, ChampionWatcher
from scoring.stores.decision_store import RedisDecisionStore, connect_decision_store


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
    return ChampionWatcher(
        MlflowRest(settings.mlflow_tracking_uri, timeout_s=TIMEOUT_S),
        model_name=settings.model_name,
        alias=settings.champion_alias,
        poll_ms=settings.model_poll_ms,
        metrics=metrics,
    )


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
