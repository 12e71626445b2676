"""Writes the changed states of one entity to Redis: many keys at a time, in the background.

Owns one thread for each entity of an operator; no decision waits for it. The engine collects the
changed keys, bounded and coalesced by key, and encodes their states; the layout of the keys and the
guarded write are in ``features/online/layout.py``. All states are written again when the job starts
and when Redis has lost some (``online_watch.py``, ``online_rewrite.py``). Started by
``operators.py``; the backfill writes with it without a thread.
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
from features.online.rewrite import RewriteProgress, progress_field, progress_key
from schemas.settings import Settings
from streams.velocity.online_rewrite import OnlineRewrite
from streams.velocity.online_watch import OnlineWatch

log = logging.getLogger(__name__)

BATCH_KEYS_MAX = 128
"""Most keys in one write. Redis serves no other client while it runs the script, about 2 ms."""
_DELAYED_FLUSHES = 10
"""An entity whose windows all end before the newest events is flushed this many times less often:
a state that is a few seconds old gives the same values."""
_SHARE_MAX = 0.2
"""Largest share of the time that the writers of one entity work, all subtasks together, unless many
keys wait. It bounds what Redis has to do under load, and more writes of one key coalesce."""
_RETRY_S = 1.0
_REWRITE_FLUSH_S = 0.2
"""Longest pause between two flushes during a rewrite, s."""
_LOOK_S = 1.0
"""Time between two looks at what Redis still has, s; each is one round trip."""
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
    waited longest is dropped, counted by the engine and logged. Dropped keys, and a Redis that has
    lost data, cause a rewrite of all states, which the operator's task has to feed.

    Args:
        job: the engine that has the states.
        position: position of the entity in the plan.
        connect: makes the client; called in the thread, and again after a failure.
        flush_ms: pause between two flushes, ms; writes of one key coalesce meanwhile.
        keys_max: how many changed keys the engine keeps.
        project: the Feast project of the states.
        subtask: number of the subtask that owns the keys.
        subtasks: number of subtasks; each has a writer of this entity.

    Attributes:
        position: as given.
        rewrite: the newest rewrite of all states.
    """

    def __init__(
        self,
        job: Job,
        position: int,
        *,
        connect: Callable[[], redis.Redis],
        flush_ms: int,
        keys_max: int,
        project: str,
        subtask: int = 0,
        subtasks: int = 1,
    ) -> None:
        self._job = job
        self.position = position
        self._entity = ENTITIES[position].entity
        self._connect = connect
        self._flush_s = flush_ms / 1_000
        self._rewrite_flush_s = min(self._flush_s, _REWRITE_FLUSH_S)
        self._pause_factor = subtasks / _SHARE_MAX - 1
        self._keys_max = keys_max
        self._client: redis.Redis | None = None
        self._script_sha = ""
        self._was_down = False
        self._watch = OnlineWatch(project)
        self.rewrite = OnlineRewrite(
            job, position, keys_max=keys_max, write_keys_max=BATCH_KEYS_MAX
        )
        self._reason = ""
        self._is_done = True
        self._look_due_s = 0.0
        self._progress_key = progress_key(project)
        self._progress_field = progress_field(self._entity, subtask)
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
        while self._job.changed_len(self.position):
            self._write_batch()

    def _run(self) -> None:
        while not self._stop.wait(self._flush_s if self._is_done else self._rewrite_flush_s):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        try:
            self._look()
            while self._job.changed_len(self.position):
                started_s = time.monotonic()
                self._write_batch()
                self._log_dropped()
                if self._job.changed_len(self.position) < self._keys_max // 2:
                    self._stop.wait(self._pause_factor * (time.monotonic() - started_s))
                self._look()
        except redis.RedisError as error:
            self._on_failure(error)
            self._log_dropped()
            self._stop.wait(_RETRY_S)

    def _look(self) -> None:
        """Look, when it is due, whether all states have to be written again, and report on it."""
        now_s = time.monotonic()
        if now_s < self._look_due_s:
            return
        client = self._client or self._open()
        reason = self._watch.look(client, was_away=self._was_down)
        self._was_down = False
        self._look_due_s = now_s + _LOOK_S
        is_done = self.rewrite.is_done
        if reason is None and is_done and self.rewrite.has_missed_keys:
            reason = f"more than {self._keys_max} changed keys waited for Redis"
        if reason is not None:
            log.warning("writing all %s states to redis: %s", self._entity, reason)
            self._reason = reason
            self.rewrite.begin()
            is_done = False
        elif is_done and not self._is_done:
            log.warning(
                "all %d %s states are in redis: %s", self.rewrite.keys, self._entity, self._reason
            )
        if not (is_done and self._is_done):
            client.hset(self._progress_key, self._progress_field, self._progress(is_done))
        self._is_done = is_done

    def _progress(self, is_done: bool) -> bytes:
        rewrite = self.rewrite
        return RewriteProgress(
            self._watch.marker, self._reason, rewrite.keys, rewrite.slices, is_done
        ).encode()

    def _write_batch(self) -> None:
        client = self._client or self._open()
        keys, values = self._job.take_changed(self.position, BATCH_KEYS_MAX)
        arguments = online_store.write_arguments(self._entity, keys, values)
        try:
            client.execute_command("EVALSHA", self._script_sha, *arguments)
        except redis.RedisError:
            self._job.give_back(self.position)
            raise
        self._job.confirm(self.position)
        self.rewrite.written(len(keys))

    def _open(self) -> redis.Redis:
        client = self._connect()
        self._script_sha = str(client.script_load(online_store.WRITE_SCRIPT))
        if self._was_down:
            log.warning("redis is back: %s states are written again", self._entity)
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
        self._look_due_s = 0.0

    def _log_dropped(self) -> None:
        dropped = self._job.dropped_total(self.position)
        now_s = time.monotonic()
        if dropped == self._dropped_logged or now_s - self._dropped_logged_s < _DROPPED_LOG_S:
            return
        log.warning(
            "%d changed %s states were not written to redis, because more than "
            "online_buffer_keys_max=%d keys were waiting; all states are written again afterwards",
            dropped - self._dropped_logged,
            self._entity,
            self._keys_max,
        )
        self._dropped_logged = dropped
        self._dropped_logged_s = now_s


def open_writer(
    job: Job,
    position: int,
    settings: Settings,
    *,
    keys_max: int,
    redis_s_max: float,
    subtask: int = 0,
) -> OnlineWriter:
    """Make the writer of an entity; `OnlineWriter.start` starts its thread.

    Args:
        job: the engine that has the states.
        position: position of the entity in the plan.
        settings: of the deployment.
        keys_max: how many changed keys the engine keeps.
        redis_s_max: timeout of a connection attempt and of a command, s.
        subtask: number of the subtask that owns the keys.
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
        project=settings.feast_project,
        subtask=subtask,
        subtasks=settings.flink_parallelism,
    )
