"""Writes the changed states of one entity to Redis: many keys at a time, in the background.

Owns one thread for each entity of an operator; no decision waits for it. The engine collects the
changed keys, bounded and coalesced by key, and encodes their states; the layout of the keys and the
guarded write are in ``features/online/layout.py``. Started by ``operators.py``; the backfill
writes with it without a thread.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

import redis

from features.engine.job import Job
from features.engine.plan import ENTITIES
from features.online import layout as online_store
from schemas.settings import Settings

log = logging.getLogger(__name__)

BATCH_KEYS_MAX = 128
"""Most keys in one write. Redis serves no other client while it runs the script, about 2 ms."""
_DELAYED_FLUSHES = 10
"""An entity whose windows all end before the newest events is flushed this many times less often:
a state that is a few seconds old gives the same values."""
_PAUSE_FACTOR = 4
"""Pause after a batch, as a multiple of the time that the batch took. Under load Redis then works
for each entity a fifth of the time at most, and more writes of one key coalesce."""
_RETRY_S = 1.0
_CLOSE_S_MAX = 5.0
_DROPPED_LOG_S = 60.0


class OnlineWriter:
    """Writes the newest state of each changed key to Redis after a short delay.

    **Delivery:** at least once for the newest state of a key; earlier states of the key are
    skipped. A write replaces the whole state and is guarded by its sequence number, so repeated
    writes after a restart do no harm.
    **Blocks:** the engine for about a millisecond, while it encodes up to ``BATCH_KEYS_MAX``
    states, fewer if they are large.
    **On failure:** while Redis is down up to ``keys_max`` keys wait; beyond that the key that has
    waited longest is dropped, counted by the engine and logged. When Redis is back, all states in
    memory are written again, because Redis may have lost recent or all data.

    Args:
        job: the engine that has the states.
        position: position of the entity in the plan.
        connect: makes the client; called in the thread, and again after a failure.
        flush_ms: pause between two flushes, ms; writes of one key coalesce meanwhile.
        keys_max: how many changed keys the engine keeps.
    """

    def __init__(
        self,
        job: Job,
        position: int,
        *,
        connect: Callable[[], redis.Redis],
        flush_ms: int,
        keys_max: int,
    ) -> None:
        self._job = job
        self._position = position
        self._entity = ENTITIES[position].entity
        self._connect = connect
        self._flush_s = flush_ms / 1_000
        self._keys_max = keys_max
        self._client: redis.Redis | None = None
        self._script_sha = ""
        self._was_down = False
        self._dropped_logged = 0
        self._dropped_logged_s = -_DROPPED_LOG_S
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"online-writer-{self._entity}", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Write the changed keys, then stop; waits a few seconds at most."""
        self._stop.set()
        self._thread.join(_CLOSE_S_MAX)

    def write_all(self) -> None:
        """Write all changed keys and wait for Redis; only for a writer that was not started.

        Raises:
            redis.RedisError: Redis did not confirm a write; its keys stay changed.
        """
        while self._job.changed_len(self._position):
            self._write_batch()

    def _run(self) -> None:
        while not self._stop.wait(self._flush_s):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        while self._job.changed_len(self._position):
            started_s = time.monotonic()
            try:
                self._write_batch()
            except redis.RedisError as error:
                self._on_failure(error)
                self._stop.wait(_RETRY_S)
                return
            finally:
                self._log_dropped()
            if self._job.changed_len(self._position) < self._keys_max // 2:
                self._stop.wait(_PAUSE_FACTOR * (time.monotonic() - started_s))

    def _write_batch(self) -> None:
        client = self._client or self._open()
        keys, values = self._job.take_changed(self._position, BATCH_KEYS_MAX)
        arguments = online_store.write_arguments(self._entity, keys, values)
        try:
            client.execute_command("EVALSHA", self._script_sha, *arguments)
        except redis.RedisError:
            self._job.give_back(self._position)
            raise
        self._job.confirm(self._position)

    def _open(self) -> redis.Redis:
        client = self._connect()
        self._script_sha = str(client.script_load(online_store.WRITE_SCRIPT))
        if self._was_down:
            self._job.mark_all(self._position)
            log.warning("redis is back: writing all %s states in memory again", self._entity)
        self._was_down = False
        self._client = client
        return client

    def _on_failure(self, error: redis.RedisError) -> None:
        if not self._was_down:
            log.warning(
                "redis did not store %s states (%s); decisions continue, up to %d keys wait",
                self._entity,
                error,
                self._keys_max,
            )
        self._was_down = True
        self._client = None

    def _log_dropped(self) -> None:
        dropped = self._job.dropped_total(self._position)
        now_s = time.monotonic()
        if dropped == self._dropped_logged or now_s - self._dropped_logged_s < _DROPPED_LOG_S:
            return
        log.warning(
            "%d changed %s states were not written to redis, because more than "
            "online_buffer_keys_max=%d keys were waiting; each is written with its next event",
            dropped - self._dropped_logged,
            self._entity,
            self._keys_max,
        )
        self._dropped_logged = dropped
        self._dropped_logged_s = now_s


def open_writer(
    job: Job, position: int, settings: Settings, *, keys_max: int, redis_s_max: float
) -> OnlineWriter:
    """Make the writer of an entity; `OnlineWriter.start` starts its thread.

    Args:
        job: the engine that has the states.
        position: position of the entity in the plan.
        settings: of the deployment.
        keys_max: how many changed keys the engine keeps.
        redis_s_max: timeout of a connection attempt and of a command, s.
    """
    connect = partial(
        redis.Redis.from_url,
        settings.redis_url,
        socket_timeout=redis_s_max,
        socket_connect_timeout=redis_s_max,
    )
    flushes = _DELAYED_FLUSHES if ENTITIES[position].is_delayed else 1
    return OnlineWriter(
        job,
        position,
        connect=connect,
        flush_ms=settings.online_flush_ms * flushes,
        keys_max=keys_max,
    )
