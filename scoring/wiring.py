"""Builds the adapters of scoring from settings; no other module of scoring does.

`scoring.worker.parts` and the parts of `scoring.http` call it; everything below receives its parts
as arguments. The parts connect themselves later, so building does not wait for Redis, MLflow or
Kafka.
"""

from __future__ import annotations

import time
import uuid

import redis

from clients.circuit import CircuitBreaker
from clients.mlflow_rest import MlflowRest
from features.online.user_inputs import UserInputLayout
from models.definition import ModelDefinition
from models.no_champion import NoChampion
from models.policy import Policy
from schemas.settings import Settings
from schemas.topics import DECISIONS, FEATURES, ROLLOUTS
from scoring.core.served_model import ServedModel
from scoring.metrics import Metrics
from scoring.stores.batch_reader import RedisBatchReader, connect_batch_reader
from scoring.stores.champion import TIMEOUT_S, ChampionWatcher
from scoring.stores.decision_rebuild import DecisionRebuild, VectorSpecs
from scoring.stores.decision_store import RedisDecisionStore, connect_decision_store
from scoring.stores.feature_log import KafkaFeatureLog
from scoring.stores.first_decisions import FirstDecisions
from scoring.stores.kept_models import KeptModels
from scoring.stores.lost_decisions import LostDecisions
from scoring.stores.rollout_commands import RolloutCommands
from scoring.stores.rollout_log import RolloutLog
from scoring.stores.rollout_versions import RolloutVersions
from scoring.stores.rollouts import RolloutFollower

REBUILD_S_MAX = 2.0
"""Limit of a call of Redis that no decision waits for, s."""
REGISTRY_OPEN_MS = 5_000
"""How long a process does not ask a model registry that has not answered, ms."""


def wall_clock_ms() -> int:
    """Give the time in ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


def _wall_clock_s() -> int:
    return wall_clock_ms() // 1_000


def steady_clock_ms() -> float:
    """Give a monotonic time in ms; only differences have a meaning."""
    return time.monotonic() * 1000


def build_policy(settings: Settings) -> Policy:
    """Make the policy of a deployment."""
    return Policy(
        review_threshold=settings.review_threshold, block_threshold=settings.block_threshold
    )


def build_registry(settings: Settings) -> MlflowRest:
    """Make the client of the registry that all parts of a process share, with one circuit."""
    return MlflowRest(
        settings.mlflow_tracking_uri,
        timeout_s=TIMEOUT_S,
        circuit=CircuitBreaker(open_ms=REGISTRY_OPEN_MS, clock_ms=steady_clock_ms),
    )


def build_models(settings: Settings, *, registry: MlflowRest, metrics: Metrics) -> ChampionWatcher:
    """Make the watcher of the champion; the caller starts and stops it."""
    return ChampionWatcher(
        registry,
        model_name=settings.model_name,
        alias=settings.champion_alias,
        poll_ms=settings.model_poll_ms,
        metrics=metrics,
        kept=KeptModels(settings.data_dir, model_name=settings.model_name),
        clock_ms=steady_clock_ms,
    )


def build_served_model(
    settings: Settings, definition: ModelDefinition, *, metrics: Metrics
) -> tuple[ServedModel, ChampionWatcher]:
    """Make a model of users and the watcher of its champion; the caller starts and stops that."""
    watcher = ChampionWatcher(
        MlflowRest(settings.mlflow_tracking_uri, timeout_s=TIMEOUT_S),
        model_name=definition.name,
        alias=settings.champion_alias,
        poll_ms=settings.model_poll_ms,
        metrics=metrics,
        columns=definition.columns,
        without=NoChampion(definition.name),
        kept=KeptModels(settings.data_dir, model_name=definition.name),
        clock_ms=steady_clock_ms,
    )
    layout = UserInputLayout(definition.columns, definition.batch_view, settings.feast_project)
    return ServedModel(definition, layout, source=watcher, refused=watcher.refused), watcher


def build_decision_store(settings: Settings, *, metrics: Metrics) -> RedisDecisionStore:
    """Make the store of first decisions. Call it in the event loop that uses the store."""
    return connect_decision_store(
        redis_url=settings.redis_url,
        ttl_s=settings.decision_ttl_s,
        timeout_ms=settings.redis_timeout_ms,
        clock_ms=steady_clock_ms,
        now_s=_wall_clock_s,
        metrics=metrics,
    )


def build_decision_rebuild(settings: Settings, *, topic: str = DECISIONS) -> DecisionRebuild:
    """Make what writes first decisions to Redis again."""
    return DecisionRebuild(
        bootstrap=settings.kafka_bootstrap,
        topic=topic,
        specs=VectorSpecs(MlflowRest(settings.mlflow_tracking_uri), model_name=settings.model_name),
        policy=build_policy(settings),
        ttl_s=settings.decision_ttl_s,
    )


def build_lost_decisions(
    settings: Settings, *, topic: str, store: RedisDecisionStore, metrics: Metrics
) -> LostDecisions:
    """Make what notices lost first decisions; the caller starts and stops it."""
    client = redis.Redis.from_url(
        settings.redis_url, socket_timeout=REBUILD_S_MAX, socket_connect_timeout=REBUILD_S_MAX
    )
    return LostDecisions(
        client,
        build_decision_rebuild(settings, topic=topic),
        clock_ms=wall_clock_ms,
        on_loss=store.note_loss,
        shown=metrics.store_incomplete,
    )


def build_feature_log(settings: Settings, *, topic: str = FEATURES) -> KafkaFeatureLog:
    """Make what reads feature rows again; it connects at its first read."""
    return KafkaFeatureLog(bootstrap=settings.kafka_bootstrap, topic=topic)


def build_first_decisions(settings: Settings) -> FirstDecisions:
    """Make what finds first decisions."""
    return FirstDecisions(
        log=build_feature_log(settings), now_s=_wall_clock_s, ttl_s=settings.decision_ttl_s
    )


def build_batch_reader(settings: Settings, *, metrics: Metrics) -> RedisBatchReader:
    """Make the reader of batch features. Call it in the event loop that uses the reader."""
    return connect_batch_reader(
        redis_url=settings.redis_url,
        project=settings.feast_project,
        timeout_ms=settings.redis_timeout_ms,
        clock_ms=steady_clock_ms,
        failures=metrics.batch_failures,
    )


def build_rollout_commands(
    settings: Settings, *, source: str, registry: MlflowRest | None = None
) -> RolloutCommands:
    """Make what starts and changes rollouts.

    Args:
        settings: of the deployment.
        source: who writes changes, such as ``/weir/cli``.
        registry: of the process; None for a command, which asks once.
    """
    return RolloutCommands(
        RolloutLog(settings.kafka_bootstrap, source=source),
        RolloutVersions(
            registry or MlflowRest(settings.mlflow_tracking_uri),
            model_name=settings.model_name,
            champion_alias=settings.champion_alias,
        ),
        model_name=settings.model_name,
        now_ms=wall_clock_ms,
        new_id=lambda: uuid.uuid4().hex,
    )


def build_rollouts(
    settings: Settings,
    *,
    registry: MlflowRest,
    champion: ChampionWatcher,
    metrics: Metrics,
    topic: str = ROLLOUTS,
) -> RolloutFollower:
    """Make the follower of rollouts; the caller starts it after the champion, and stops it."""
    return RolloutFollower(
        settings.kafka_bootstrap,
        registry,
        champion=champion,
        model_name=settings.model_name,
        metrics=metrics,
        clock_ms=steady_clock_ms,
        kept=KeptModels(settings.data_dir, model_name=settings.model_name),
        on_completed=champion.poll,
        topic=topic,
    )
