"""The scorer: a Faust worker from the feature log to decisions. Run ``python -m scoring.worker``.

Owns the Faust application, the batches, and when offsets move. What happens to a batch is
`scoring.worker.batch`'s, what is connected is `scoring.wiring`'s.

**Delivery**: at least once, and repeats are identical. A message, which holds what one fetch
brought of a partition, is acknowledged to Faust, which alone lets its offsets be committed, when
the broker has acknowledged all its decisions, in log order.

Faust's own ways to do this lose events, read in faust-streaming 0.15.3:

- An agent that raises, or is cancelled by a rebalance or a stop, *acknowledges* the event it was
  working on: `Stream.__aiter__` acks in a ``finally``.
- So does ``take()``: its generator acks the whole batch in the ``finally`` around its ``yield``,
  which also runs when the body raised or was cancelled and the generator is closed. And it looks
  for a batch by timer, which costs its whole ``within`` in latency.

Hence ``noack()``: the agent only hands messages over, `score_for_ever` takes all that wait (at most
``scorer_batch_max`` rows), scores them, and acknowledges them in order. While a batch is with the
broker the next one gathers, so batches grow with the load; a small one waits some milliseconds for
what belongs to it.

**On failure**: an unexpected error ends the process at once, uncommitted; the supervisor starts
it again and the batch comes again. A rebalance: events of partitions that went away are scored
all the same; their offsets are not committed here, and the other worker's decisions are the same
bytes. SIGTERM: Faust stops fetching, what was handed over is scored, committed, and that is all.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import faust
import mode.loop
from prometheus_client import CollectorRegistry, start_http_server

from schemas.settings import Settings
from scoring.wiring import steady_clock_ms
from scoring.worker.batch import BatchScorer, Channels, Record
from scoring.worker.direct_consumer import use_direct_consumer
from scoring.worker.parts import WorkerParts
from scoring.worker.watchdog import GroupProgress, Watchdog

logger = logging.getLogger(__name__)

COMMIT_INTERVAL_S = 1.0
"""Time between two commits, s: what a crash repeats at most, besides the batch in hand."""
SESSION_TIMEOUT_S = 10.0
"""How long a dead worker keeps its partitions, s."""
BUFFERED_MESSAGES_MAX = 64
"""Messages, of a batch at most, on their way from a fetch to the agent, which takes them at once;
a fetch brings 1 MiB of each partition at most."""
REUNITED_WITHIN_S = 0.003
"""How long the first message of a batch waits for others, s. The broker answers a fetch as soon as
the first partition of a group of rows is written: without this the rest makes a batch of its own,
which begins when the first one, some 12 ms later, has been acknowledged."""
REUNITED_ROWS_MAX = 64
"""Rows that are a batch worth taking as it is."""
GC_THRESHOLDS = (20_000, 20, 100)
"""A batch leaves no cycles: its objects need not be looked through every 700 of them."""
EXIT_BUG = 70
"""Exit code after an unexpected error (EX_SOFTWARE); the supervisor starts the process again."""


class Intake:
    """Messages handed over by Faust's agent, waiting to be scored. One event loop only.

    A message holds the records of one fetch, see `direct_consumer.Fetched`.

    Attributes:
        wanted: set while a batch is being waited for. Kafka is asked for more only then: what
            comes while a batch is scored waits in the client, and makes one larger batch.
    """

    def __init__(self, *, batch_max: int, gather_s: float = 0.0) -> None:
        """Start empty.

        Args:
            batch_max: most rows of one batch.
            gather_s: how long the first message of a small batch waits for others, s.
        """
        self.wanted = asyncio.Event()
        self._batch_max = batch_max
        self._gather_s = gather_s
        self._waiting: deque[Any] = deque()
        self._rows = 0
        self._some = asyncio.Event()

    def put(self, event: Any) -> None:
        """Hand a message over."""
        self._waiting.append(event)
        self._rows += len(event.message.records)
        self._some.set()

    async def take(self) -> list[Any]:
        """Give the messages that wait, at most a batch of rows or one message, in their order.

        Blocks: until there is one.
        """
        if self._rows < self._batch_max:
            self.wanted.set()
        await self._some.wait()
        if self._gather_s and self._rows < min(self._batch_max, REUNITED_ROWS_MAX):
            await asyncio.sleep(self._gather_s)
        self.wanted.clear()
        events: list[Any] = []
        rows = 0
        while self._waiting:
            more = len(self._waiting[0].message.records)
            if events and rows + more > self._batch_max:
                break
            events.append(self._waiting.popleft())
            rows += more
        self._rows -= rows
        if not self._waiting:
            self._some.clear()
        return events


class Progress:
    """How many rows this process has scored and acknowledged; read by the watchdog's thread."""

    rows = 0


async def score_for_ever(intake: Intake, scorer: BatchScorer, progress: Progress) -> None:
    """Take, score, acknowledge; never returns, and raises whatever goes wrong.

    Delivery: events are acknowledged in order, after their decisions are with the broker.
    """
    while True:
        events = await intake.take()
        records = [record_of(fetched) for event in events for fetched in event.message.records]
        await scorer.score(records)
        for event in events:
            event.ack()
        progress.rows += len(records)


def record_of(fetched: Any) -> Record:
    """Give aiokafka's record as ours, nothing decoded."""
    return Record(
        topic=fetched.topic,
        partition=fetched.partition,
        offset=fetched.offset,
        timestamp_ms=fetched.timestamp,
        key=fetched.key,
        value=fetched.value,
        headers=list(fetched.headers or ()),
    )


def build_app(settings: Settings, channels: Channels) -> faust.App:
    """Make the Faust application, with every default that would hurt set otherwise."""
    return faust.App(
        channels.group,
        broker=f"aiokafka://{settings.kafka_bootstrap.replace(',', ';')}",
        datadir=str(settings.data_dir / "scorer"),
        store="memory://",
        # Its web server would serve tables to anyone; a leader topic has no use here.
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        # exactly_once is broken (faust-streaming #177, #323, #517).
        processing_guarantee="at_least_once",
        consumer_auto_offset_reset="earliest",
        # Bytes as they came: a serializer of Faust's that fails acknowledges the event.
        key_serializer="raw",
        value_serializer="raw",
        broker_commit_interval=COMMIT_INTERVAL_S,
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=SESSION_TIMEOUT_S / 5,
        # A stop or a rebalance first waits for what was handed over.
        stream_wait_empty=True,
        stream_buffer_maxsize=BUFFERED_MESSAGES_MAX,
    )


def attach_scoring(
    app: faust.App, settings: Settings, channels: Channels, registry: CollectorRegistry
) -> None:
    """Let the application score: the agent, the batches and the watchdog.

    Args:
        app: not started yet.
        settings: of the deployment.
        channels: what to read and write.
        registry: where metrics are made.
    """
    topic = app.topic(channels.features, key_type=bytes, value_type=bytes)
    intake = Intake(
        batch_max=settings.scorer_batch_max,
        gather_s=REUNITED_WITHIN_S if settings.batching_delay_ms else 0.0,
    )
    use_direct_consumer(app, records_max=settings.scorer_batch_max, wanted=intake.wanted)
    progress = Progress()
    # One: with more, Faust can commit past an event in flight (faust-streaming #606).
    app.agent(topic, name="scorer", concurrency=1)(_hand_over_to(intake))

    async def run_scoring() -> None:
        parts = WorkerParts(settings, registry=registry, channels=channels)
        watchdog = Watchdog(
            GroupProgress(
                bootstrap=settings.kafka_bootstrap, group=channels.group, topic=channels.features
            ),
            processed=lambda: progress.rows,
            on_stall=end_process,
            clock_ms=steady_clock_ms,
        )
        try:
            await asyncio.to_thread(parts.models.start)
            watchdog.start()
            _collect_young_garbage_only()
            await score_for_ever(intake, parts.scorer, progress)
        except asyncio.CancelledError:
            raise
        except BaseException:
            logger.critical("scoring failed; ending uncommitted", exc_info=True)
            end_process("an unexpected error")
        finally:
            watchdog.stop()
            await parts.close()

    app.task(run_scoring)


def _hand_over_to(intake: Intake) -> Callable[[Any], Any]:
    async def hand_over(stream: Any) -> None:
        try:
            async for event in stream.noack().events():
                intake.put(event)
        except asyncio.CancelledError:
            raise
        except BaseException:
            logger.critical("reading the feature log failed; ending", exc_info=True)
            end_process("an unexpected error of the consumer")

    return hand_over


def _collect_young_garbage_only() -> None:
    # What has been imported stays for ever. Looking through it, whenever Python collects its
    # oldest generation, took a sixth of the worker's time and stopped all decisions meanwhile.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def end_process(reason: str) -> None:
    """End at once: no clean-up that could hang, swallow the error, or commit.

    Safe at any moment: decisions are kept before they are emitted and offsets move last.
    """
    logger.critical("the scorer ends: %s", reason)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(EXIT_BUG)


def run(settings: Settings, channels: Channels) -> None:
    """Run a worker until SIGTERM or SIGINT, then exit: 0 after a clean stop.

    Args:
        settings: of the deployment.
        channels: what to read and write.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    registry = CollectorRegistry()
    if settings.worker_metrics_port:
        start_http_server(settings.worker_metrics_port, addr="127.0.0.1", registry=registry)
    threading.excepthook = _end_on_thread_error
    mode.loop.use("uvloop")
    app = build_app(settings, channels)
    attach_scoring(app, settings, channels, registry)
    worker = faust.Worker(app, loglevel="INFO", redirect_stdouts=False)
    worker.execute_from_commandline()


def _end_on_thread_error(error: threading.ExceptHookArgs) -> None:
    # A thread of ours that dies silently would stop model changes or delivery reports.
    logger.critical(
        "thread %s failed",
        error.thread.name if error.thread else "?",
        exc_info=(error.exc_type, error.exc_value or error.exc_type(), error.exc_traceback),
    )
    end_process("an unexpected error in a thread")
