"""Writes the states of an operator to Redis: coalesced by key, bounded, in the background.

Owns one thread for each operator; no decision waits for it. Knows keys and states; the layout of
keys and fields and the guarded write are in ``features/online/layout.py``. The stages call it for
every event.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import redis

from features.definitions import Entity
from features.engine.state import Values
from features.online import layout as online_store
from schemas.settings import Settings

log = logging.getLogger(__name__)

_BATCH_KEYS_MAX = 256
_FLUSH_INTERVALS: dict[Entity, int] = {"user": 1, "merchant": 10}
"""Time between two flushes, in units of ``online_flush_ms``. Merchants are written less often: they
change all the time, and their windows end days before an event, so that a state a few seconds old
gives the same values."""
_PAUSE_FACTOR = 4
"""Pause after a batch, as a multiple of the time that the batch took. Encoding needs the
interpreter lock that the operators need: the pause limits it to a fifth of the time, and more
writes coalesce."""
_RETRY_S = 1.0
_CLOSE_S_MAX = 5.0


class OnlineState(Protocol):
    """What the sink needs of a state."""

    sequence: int
    newest_ms: int | None

    def encode_online(self) -> bytes:
        """The state as bytes, as far as a reader needs it to compute values as of now."""
        ...

    def read(self, *, as_of_ms: int) -> Values:
        """The values as of a time, ms since 1970 UTC."""
        ...


class OnlineSink:
    """Writes the newest state of each dirty key to Redis after a short delay.

    **Delivery:** at least once for the newest state of a key; earlier states of the key are
    skipped. A write replaces the whole state and is guarded by its sequence number, so repeated
    writes after a restart do no harm.
    **Blocks:** ``mark`` does not block. The caller holds ``lock`` while it changes a state; the
    thread holds it while it encodes one state, for tens of microseconds. Under load the thread
    pauses between batches, so writes are later and coalesce more. It does not pause when
    ``keys_max // 2`` or more keys are dirty.
    **On failure:** while Redis is down up to ``keys_max`` keys stay dirty; beyond that the key that
    has been dirty longest is dropped and counted in ``dropped_total``. When Redis is back, all
    states of ``resync`` are written again, because Redis may have lost recent or all data.

    Args:
        entity: the entity of the states.
        connect: makes the client; called in the thread, and again after a failure.
        project: the Feast project, part of every key.
        flush_ms: pause between two flushes, ms; writes of one key coalesce meanwhile.
        keys_max: most dirty keys.
    """

    def __init__(
        self,
        entity: Entity,
        *,
        connect: Callable[[], redis.Redis],
        project: str,
        flush_ms: int,
        keys_max: int,
    ) -> None:
        self.lock = threading.Lock()
        self.dropped_total = 0
        self._entity = entity
        self._connect = connect
        self._project = project
        self._flush_s = flush_ms / 1_000
        self._keys_max = keys_max
        self._resync: Callable[[], Iterable[tuple[str, OnlineState]]] = tuple
        self._dirty: OrderedDict[str, OnlineState] = OrderedDict()
        self._stop = threading.Event()
        self._client: redis.Redis | None = None
        self._script_sha = ""
        self._was_down = False
        self._thread = threading.Thread(target=self._run, name=f"online-sink-{entity}", daemon=True)

    def start(self, *, resync: Callable[[], Iterable[tuple[str, OnlineState]]]) -> None:
        """Start the thread.

        Args:
            resync: returns the keys and states to write when Redis is back; called under ``lock``.
        """
        self._resync = resync
        self._thread.start()

    def close(self) -> None:
        """Write the dirty keys, then stop; waits a few seconds at most."""
        self._stop.set()
        self._thread.join(_CLOSE_S_MAX)

    def mark(self, key: str, state: OnlineState) -> None:
        """Mark ``key`` as dirty: it has a newer state. The caller holds ``lock``."""
        self._dirty[key] = state
        if len(self._dirty) > self._keys_max:
            self._dirty.popitem(last=False)
            self.dropped_total += 1

    def write_now(self, states: Mapping[str, OnlineState]) -> None:
        """Write these states and wait for Redis; only for a sink whose thread was not started.

        Raises:
            redis.RedisError: Redis did not confirm all writes.
        """
        self._write(states)

    def _run(self) -> None:
        while not self._stop.wait(self._flush_s):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        while self._dirty:
            started_s = time.monotonic()
            batch = self._take_batch()
            try:
                self._write(batch)
            except redis.RedisError as error:
                self._put_back(batch)
                self._on_failure(error)
                self._stop.wait(_RETRY_S)
                return
            if len(self._dirty) < self._keys_max // 2:
                self._stop.wait(_PAUSE_FACTOR * (time.monotonic() - started_s))

    def _take_batch(self) -> dict[str, OnlineState]:
        with self.lock:
            size = min(_BATCH_KEYS_MAX, len(self._dirty))
            return dict(self._dirty.popitem(last=False) for _ in range(size))

    def _put_back(self, batch: dict[str, OnlineState]) -> None:
        with self.lock:
            for key, state in batch.items():
                self._dirty.setdefault(key, state)
            while len(self._dirty) > self._keys_max:
                self._dirty.popitem(last=False)
                self.dropped_total += 1

    def _write(self, batch: Mapping[str, OnlineState]) -> None:
        client = self._client or self._open()
        pipeline = client.pipeline(transaction=False)
        for key, state in batch.items():
            pipeline.execute_command("EVALSHA", self._script_sha, *self._arguments(key, state))
        try:
            pipeline.execute()
        except redis.exceptions.NoScriptError:
            self._client = None
            raise

    def _arguments(self, key: str, state: OnlineState) -> list[bytes | int]:
        with self.lock:
            as_of_ms = state.newest_ms or 0
            fields = online_store.hash_fields(
                self._entity,
                state.read(as_of_ms=as_of_ms),
                state=state.encode_online(),
                sequence=state.sequence,
                event_time_ms=as_of_ms,
            )
        redis_key = online_store.entity_key(self._entity, key, self._project)
        return online_store.write_arguments(self._entity, [redis_key], [*fields.values()])

    def _open(self) -> redis.Redis:
        client = self._connect()
        self._script_sha = str(client.script_load(online_store.WRITE_SCRIPT))
        if self._was_down:
            self._mark_all()
            log.warning("redis is back: writing all %s states in memory again", self._entity)
        self._was_down = False
        self._client = client
        return client

    def _mark_all(self) -> None:
        with self.lock:
            for key, state in self._resync():
                if len(self._dirty) >= self._keys_max:
                    return
                self._dirty.setdefault(key, state)

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


def open_sink(entity: Entity, settings: Settings, *, redis_s_max: float) -> OnlineSink:
    """Make the sink of an entity; `OnlineSink.start` starts its thread.

    Args:
        entity: the entity of the states.
        settings: of the deployment.
        redis_s_max: timeout of a connection attempt and of a command, s.
    """

    def connect() -> redis.Redis:
        return redis.Redis.from_url(
            settings.redis_url, socket_timeout=redis_s_max, socket_connect_timeout=redis_s_max
        )

    return OnlineSink(
        entity,
        connect=connect,
        project=settings.feast_project,
        flush_ms=settings.online_flush_ms * _FLUSH_INTERVALS[entity],
        keys_max=settings.online_buffer_keys_max,
    )
