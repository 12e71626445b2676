"""The parts that the routes work with, as one value, and how a process builds them.

Routes get them by `scoring.http.deps.Parts` and know only the ports. `open_api_parts` builds them
from settings for a process; tests build them from fakes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from models.catalogue import load_models
from models.definition import ModelDefinition
from models.policy import Policy
from schemas.rollout_state import RolloutReading
from schemas.settings import Settings
from schemas.transaction import Limits
from scoring import wiring
from scoring.core.ports import FeatureReader, ModelSource
from scoring.core.rollouts import RolloutSource
from scoring.core.served_model import ServedModel
from scoring.core.user_scores import UserInputReader
from scoring.http.keys.gate import Gate
from scoring.http.keys.key_file import KeyFile, key_file
from scoring.http.metrics import ApiMetrics, build_api_metrics
from scoring.http.model_routes import RoutesContext, load_routes
from scoring.http.worker_metrics import WorkerMetrics, is_process
from scoring.metrics import Metrics, build_metrics
from scoring.stores.champion import ChampionWatcher
from scoring.stores.guarded_reads import GuardedReads, connect_reads
from scoring.stores.online_reader import connect_reader
from scoring.stores.rollout_commands import RolloutCommands
from scoring.stores.rollout_state import RolloutStateLog
from scoring.stores.rollouts import RolloutFollower
from scoring.stores.user_inputs import RedisUserInputs


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
        metrics_page: gives what GET /metrics shows, ``metrics`` among it.
        now_ms: the clock, ms since 1970 UTC.
        deadline_ms: time for one request, ms.
        read_timeout_ms: limit of a read of Redis for one request, ms.
        gate: checks API keys; None if none are required.
        definitions: the models of the deployment by name, that of transactions first.
        served_models: the models of users by name.
        user_inputs: reads the inputs of models of users; None if there is none.
        opened: what the routes of models of their own have opened, by name of the model.
        rollouts: which rollout splits the traffic.
        rollout_commands: starts and changes rollouts.
        rollout_reading: gives what the controller has counted of a rollout, None before that.
    """

    reader: FeatureReader
    models: ModelSource
    refused_models: Callable[[], Mapping[str, str]]
    policy: Policy
    limits: Limits
    staleness_ms_max: int
    metrics: ApiMetrics
    metrics_page: Callable[[], bytes]
    now_ms: Callable[[], int]
    deadline_ms: int
    read_timeout_ms: int
    rollouts: RolloutSource
    rollout_commands: RolloutCommands
    rollout_reading: Callable[[str], RolloutReading | None] = lambda _: None
    gate: Gate | None = None
    definitions: Mapping[str, ModelDefinition] = field(default_factory=dict)
    served_models: Mapping[str, ServedModel] = field(default_factory=dict)
    user_inputs: UserInputReader | None = None
    opened: Mapping[str, object] = field(default_factory=dict)


MODEL_WAIT_MS = 2_000
"""Longest wait for the first model and the rollouts when the API starts, ms. If the registry hangs
or is down, the API starts without a model: the heuristic decides, and /ready says so."""
SOURCE = "/weir/api"
"""CloudEvents source of changes of rollouts that were asked for over HTTP."""


@asynccontextmanager
async def open_api_parts(settings: Settings) -> AsyncIterator[ApiParts]:
    """Build the parts, watch the champion, and close both at the end of the event loop."""
    registry = CollectorRegistry()
    metrics = build_api_metrics(registry)
    metrics.workers.set(1)
    scoring_metrics = build_metrics(registry)
    versions = wiring.build_registry(settings)
    models = wiring.build_models(settings, registry=versions, metrics=scoring_metrics)
    rollouts = wiring.build_rollouts(
        settings, registry=versions, champion=models, metrics=scoring_metrics
    )
    reader = connect_reader(
        redis_url=settings.redis_url,
        project=settings.feast_project,
        decisions=wiring.build_first_decisions(settings),
        timeout_ms=settings.redis_timeout_ms,
        clock_ms=wiring.steady_clock_ms,
        on_failure=metrics.redis_failures.inc,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(reader.close)
        definitions = load_models(settings)
        served, watchers = _served_models(settings, definitions, scoring_metrics)
        store = connect_reads(
            redis_url=settings.redis_url,
            timeout_ms=settings.redis_timeout_ms,
            clock_ms=wiring.steady_clock_ms,
            on_failure=metrics.redis_failures.inc,
        )
        stack.push_async_callback(store.close)
        followers: list[ChampionWatcher | RolloutFollower] = [models, rollouts, *watchers]
        for follower in followers:
            stack.push_async_callback(asyncio.to_thread, follower.stop)
        await _start_in_background(followers)
        opened = await _open_routes(settings, served, store, stack)
        yield ApiParts(
            reader=reader,
            models=models,
            refused_models=models.refused,
            policy=wiring.build_policy(settings),
            limits=Limits.from_settings(settings),
            staleness_ms_max=settings.staleness_ms_max,
            metrics=metrics,
            metrics_page=_metrics_page(settings, registry),
            now_ms=wiring.wall_clock_ms,
            deadline_ms=settings.api_deadline_ms,
            read_timeout_ms=settings.redis_timeout_ms,
            rollouts=rollouts,
            rollout_commands=wiring.build_rollout_commands(
                settings, source=SOURCE, registry=versions
            ),
            rollout_reading=RolloutStateLog(settings.kafka_bootstrap).reading,
            gate=_gate(settings) if settings.api_keys_required else None,
            definitions=definitions,
            served_models=served,
            user_inputs=RedisUserInputs(store),
            opened=opened,
        )


def _served_models(
    settings: Settings, definitions: Mapping[str, ModelDefinition], metrics: Metrics
) -> tuple[dict[str, ServedModel], list[ChampionWatcher]]:
    built = {
        name: wiring.build_served_model(settings, definition, metrics=metrics)
        for name, definition in definitions.items()
        if definition.entity == "user"
    }
    served = {name: model for name, (model, _) in built.items()}
    return served, [watcher for _, watcher in built.values()]


async def _open_routes(
    settings: Settings,
    served: Mapping[str, ServedModel],
    store: GuardedReads,
    stack: AsyncExitStack,
) -> dict[str, object]:
    return {
        name: await stack.enter_async_context(
            routes.open(RoutesContext(settings, served[name], store, wiring.wall_clock_ms))
        )
        for name, routes in load_routes(settings)
    }


def metrics_directory(settings: Settings) -> Path:
    """Give the directory in which several workers keep their metrics."""
    return settings.data_dir / "run" / "api-metrics"


def _metrics_page(settings: Settings, registry: CollectorRegistry) -> Callable[[], bytes]:
    if settings.api_workers > 1:
        return WorkerMetrics(metrics_directory(settings), is_alive=is_process).page
    ProcessCollector(registry=registry)
    return lambda: generate_latest(registry)


def _gate(settings: Settings) -> Gate:
    return Gate(
        KeyFile(key_file(settings.data_dir), clock_ms=wiring.steady_clock_ms),
        rate_per_s=settings.api_rate_per_s,
        workers=settings.api_workers,
        clock_ms=wiring.steady_clock_ms,
    )


async def _start_in_background(followers: Sequence[ChampionWatcher | RolloutFollower]) -> None:
    def start() -> None:
        for follower in followers:
            follower.start()

    # A daemon thread: at its end the event loop would wait for a thread of its own pool.
    starting = threading.Thread(target=start, name="first-look", daemon=True)
    starting.start()
    limit_ms = wiring.steady_clock_ms() + MODEL_WAIT_MS
    while starting.is_alive() and wiring.steady_clock_ms() < limit_ms:
        await asyncio.sleep(0.01)
