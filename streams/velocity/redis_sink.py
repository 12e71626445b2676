"""The operators' state on its way into Redis: coalesced, bounded, never in a decision's way.

Owns one background thread per operator. Knows keys and states; the layout of keys, fields and
the guarded write is ``features/online/layout.py``'s. Called by the operators for every event.
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
_FLUSHES_GATHERED: dict[Entity, int] = {"user": 1, "merchant": 10}
"""For how many ``online_flush_ms`` an entity's marks coalesce. A merchant's windows end days before
an event: its state of some seconds ago gives the same values, and it changes all the time."""
_REST_PER_WORK = 4
"""How long the thread rests after a batch, by the time that the batch took: encoding needs the
interpreter that the operators need, so under load it gets a fifth of it, and marks coalesce."""
_RETRY_S = 1.0
_CLOSE_S_MAX = 5.0


class OnlineState(Protocol):
    """What the sink needs of a state."""

    sequence: int
    newest_ms: int | None

    def encode_online(self) -> bytes:
        """The bytes that a reader needs to evaluate the state as of now."""
        ...

    def read(self, *, as_of_ms: int) -> Values:
        """The values as of an instant, in ms since 1970 UTC."""
        ...


class OnlineSink:
    """Writes the newest state of each marked key to Redis, soon.

    **Delivery:** at least once for the newest state of a key; intermediate states are skipped
    (a later mark of the same key replaces the earlier one). Writes are absolute and guarded by
    the state's sequence number, so a replay after a restart is harmless.
    **Blocks:** ``mark`` never does. Whoever folds events holds ``lock`` meanwhile; the thread
    holds it for the encoding of one key at a time, tens of microseconds.
    Under load writes come later and coalesce more; only when half of ``keys_max`` keys wait does
    the thread stop giving way.
    **On failure:** while Redis is away marks are kept, at most ``keys_max`` keys, the oldest
    dropped first and counted. When Redis answers again everything that ``resync`` gives is
    written anew, because a Redis that died may have lost its last second, or everything.

    Args:
        entity: whose states these are.
        connect: makes the client; called in the thread, again after a failure.
        project: the Feast project, part of every key.
        flush_ms: pause between two writes, in ms: how long marks of one key coalesce.
        keys_max: bound of the buffer.
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
            resync: gives the keys and states to write when Redis is back; called with ``lock``.
        """
        self._resync = resync
        self._thread.start()

    def close(self) -> None:
        """Write what is marked, then stop; gives up after some seconds."""
        self._stop.set()
        self._thread.join(_CLOSE_S_MAX)

    def mark(self, key: str, state: OnlineState) -> None:
        """Say that ``key`` has a newer state. The caller holds ``lock``."""
        self._dirty[key] = state
        if len(self._dirty) > self._keys_max:
            self._dirty.popitem(last=False)
            self.dropped_total += 1

    def write_now(self, states: Mapping[str, OnlineState]) -> None:
        """Write these states and wait for Redis; for a sink whose thread was not started.

        Raises:
            redis.RedisError: Redis did not take them all.
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
                self._note_down(error)
                self._stop.wait(_RETRY_S)
                return
            if len(self._dirty) < self._keys_max // 2:
                self._stop.wait(_REST_PER_WORK * (time.monotonic() - started_s))

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
            pipeline.execute_command("EVALSHA", self._script_sha, 1, *self._arguments(key, state))
        try:
            pipeline.execute()
        except redis.exceptions.NoScriptError:
            self._client = None
            raise

    def _arguments(self, key: str, state: OnlineState) -> list[bytes]:
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
        return online_store.write_arguments(redis_key, fields)

    def _open(self) -> redis.Redis:
        client = self._connect()
        self._script_sha = str(client.script_load(online_store.WRITE_SCRIPT))
        if self._was_down:
            self._mark_all()
            log.warning("redis answers again: writing all live %s states anew", self._entity)
        self._was_down = False
        self._client = client
        return client

    def _mark_all(self) -> None:
        with self.lock:
            for key, state in self._resync():
                if len(self._dirty) >= self._keys_max:
                    return
                self._dirty.setdefault(key, state)

    def _note_down(self, error: redis.RedisError) -> None:
        if not self._was_down:
            log.warning(
                "redis does not take %s states (%s); decisions go on, up to %d keys wait",
                self._entity,
                error,
                self._keys_max,
            )
        self._was_down = True
        self._client = None


def open_sink(entity: Entity, settings: Settings, *, redis_s_max: float) -> OnlineSink:
    """Make the sink of a deployment; its thread starts with `OnlineSink.start`.

    Args:
        entity: whose states.
        settings: of the deployment.
        redis_s_max: how long the sink's thread waits for connecting and for an answer, s.
    """

    def connect() -> redis.Redis:
        return redis.Redis.from_url(
            settings.redis_url, socket_timeout=redis_s_max, socket_connect_timeout=redis_s_max
        )

    return OnlineSink(
        entity,
        connect=connect,
        project=settings.feast_project,
        flush_ms=settings.online_flush_ms * _FLUSHES_GATHERED[entity],
        keys_max=settings.online_buffer_keys_max,
    )
