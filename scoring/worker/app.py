"""The Faust application of the scorer: from the feature log to decisions.

Owns Faust's configuration and what runs in its event loop. ``intake.py`` forms batches and
acknowledges messages, ``batch.py`` scores a batch, ``scoring.wiring`` builds the parts. Run
``python -m scoring.worker``.

**On failure**: an unexpected error ends the process at once, without a commit; the supervisor
restarts it and the batch is read again. After a rebalance, queued events of revoked partitions are
still scored; this worker does not commit their offsets, and the other worker's decisions are the
same bytes. On SIGTERM Faust stops fetching, the queued events are scored and committed, and the
process ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import faust
import mode.loop
from prometheus_client import CollectorRegistry, start_http_server

from schemas.settings import Settings
from scoring.wiring import steady_clock_ms
from scoring.worker.batch import Channels
from scoring.worker.direct_consumer import use_direct_consumer
from scoring.worker.followed_topic import FollowedTopic
from scoring.worker.intake import BATCH_LINGER_S_MAX, Intake, ScoredRows, score_forever
from scoring.worker.parts import WorkerParts
from scoring.worker.process import collect_young_garbage_only, end_on_thread_errors, end_process
from scoring.worker.watchdog import GroupProgress, Watchdog

logger = logging.getLogger(__name__)

COMMIT_INTERVAL_S = 1.0
"""Time between two commits, s. A crash repeats at most this much, besides the current batch."""
SESSION_TIMEOUT_S = 10.0
"""How long a dead worker keeps its partitions, s."""
METADATA_MAX_AGE_MS = 10_000
"""How often the partitions of the feature log are asked for, ms; a new one is read after that."""
BUFFERED_MESSAGES_MAX = 64
"""Most messages, of at most a batch each, between a fetch and the agent. The agent takes them at
once; a fetch brings at most 1 MiB of each partition."""


def build_app(settings: Settings, channels: Channels) -> faust.App:
    """Make the Faust application, with safe values in place of Faust's unsafe defaults."""
    return faust.App(
        channels.group,
        broker=f"aiokafka://{settings.kafka_bootstrap.replace(',', ';')}",
        datadir=str(settings.data_dir / "scorer"),
        store="memory://",
        # Its web server would serve tables to anyone; nothing uses a leader topic.
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        # exactly_once is broken (faust-streaming #177, #323, #517).
        processing_guarantee="at_least_once",
        consumer_auto_offset_reset="earliest",
        # Raw bytes: when one of Faust's own serializers fails, the event is acknowledged.
        key_serializer="raw",
        value_serializer="raw",
        broker_commit_interval=COMMIT_INTERVAL_S,
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=SESSION_TIMEOUT_S / 5,
        consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
        # A stop or a rebalance first waits for the queued messages.
        stream_wait_empty=True,
        stream_buffer_maxsize=BUFFERED_MESSAGES_MAX,
    )


def attach_scoring(
    app: faust.App, settings: Settings, channels: Channels, registry: CollectorRegistry
) -> None:
    """Add the agent, the scoring loop and the watchdog to the application.

    Args:
        app: not started yet.
        settings: of the deployment.
        channels: the topics to read and write.
        registry: where the metrics are registered.
    """
    topic = app.topic(channels.features, key_type=bytes, value_type=bytes)
    intake = Intake(
        batch_max=settings.scorer_batch_max,
        linger_s=BATCH_LINGER_S_MAX if settings.batching_delay_ms else 0.0,
    )
    use_direct_consumer(
        app,
        records_max=settings.scorer_batch_max,
        wanted=intake.wanted,
        bootstrap=settings.kafka_bootstrap,
    )
    scored = ScoredRows()
    # With a higher concurrency Faust can commit past an event in flight (faust-streaming #606).
    app.agent(topic, name="scorer", concurrency=1)(_put_messages_into(intake))

    async def run_scoring() -> None:
        parts = WorkerParts(settings, registry=registry, channels=channels)
        watchdog = Watchdog(
            GroupProgress(
                bootstrap=settings.kafka_bootstrap, group=channels.group, topic=channels.features
            ),
            processed=lambda: scored.total,
            on_stall=end_process,
            clock_ms=steady_clock_ms,
            replacement=FollowedTopic(settings.kafka_bootstrap, channels.features).replacement,
        )
        try:
            await asyncio.to_thread(parts.start)
            parts.lost_decisions.start()
            watchdog.start()
            collect_young_garbage_only()
            await score_forever(intake, parts.scorer, scored)
        except asyncio.CancelledError:
            raise
        except BaseException:
            logger.critical("scoring failed; ending uncommitted", exc_info=True)
            end_process("an unexpected error")
        finally:
            watchdog.stop()
            await parts.close()

    app.task(run_scoring)


def _put_messages_into(intake: Intake) -> Callable[[Any], Any]:
    async def put_messages(stream: Any) -> None:
        try:
            async for event in stream.noack().events():
                intake.put(event)
        except asyncio.CancelledError:
            raise
        except BaseException:
            logger.critical("reading the feature log failed; ending", exc_info=True)
            end_process("an unexpected error of the consumer")

    return put_messages


def run(settings: Settings, channels: Channels) -> None:
    """Run a worker until SIGTERM or SIGINT, then exit: with 0 after a clean stop.

    Args:
        settings: of the deployment.
        channels: the topics to read and write.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    registry = CollectorRegistry()
    if settings.worker_metrics_port:
        start_http_server(settings.worker_metrics_port, addr="127.0.0.1", registry=registry)
    end_on_thread_errors()
    mode.loop.use("uvloop")
    app = build_app(settings, channels)
    attach_scoring(app, settings, channels, registry)
    worker = faust.Worker(app, loglevel="INFO", redirect_stdouts=False)
    worker.execute_from_commandline()
