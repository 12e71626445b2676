"""Notices that Redis has lost first decisions, and has them written again.

Owns two keys. ``weir:decisions:marker`` says until when Redis has all first decisions, and on which
run of the server; every worker brings it up to date once a second. ``weir:decisions:rebuilding`` is
the lock of the one worker that writes them again. A thread; the worker starts and stops it.

::

    the marker is                             the first decisions are written again
    missing                                   of the whole time to live
    of another run of the server, or old      since a few seconds before its time
    up to date                                not
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson
import redis
from prometheus_client import Gauge

from schemas.errors import RetryableError
from scoring.stores.decision_rebuild import DecisionRebuild, Rebuilt

logger = logging.getLogger(__name__)

MARKER_KEY: Final = b"weir:decisions:marker"
LOCK_KEY: Final = b"weir:decisions:rebuilding"

LOOK_S: Final = 1.0
"""Time between two looks, s."""
OLD_MS: Final = 30_000
"""Age of a marker from which on decisions may be missing, ms: no worker has run, or an older file
of Redis was put back."""
MARGIN_MS: Final = 10_000
"""How long before the marker's time decisions may be missing, ms: Redis writes its file once a
second, and a decision is produced some time after it was kept."""
LOCK_S: Final = 60
"""How long a worker that writes decisions again may be silent, s; then another one does it."""
BUSY_SHARE: Final = 0.2
"""Share of a core that the thread takes: it shares the process with the scoring."""
PAUSE_S: Final = 30.0
"""Pause after a failure, s."""

# Both give 1 if they did it.
ADVANCE_SCRIPT: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
PROLONG_SCRIPT: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('EXPIRE', KEYS[1], ARGV[2])
"""


class Marker(NamedTuple):
    """Until when Redis has all first decisions."""

    run_id: str
    """Of the server; empty if it does not tell."""
    complete_until_ms: int
    """Ms since 1970 UTC."""

    def encode(self) -> bytes:
        """Give the value of the key, JSON."""
        return orjson.dumps([*self])

    @classmethod
    def decode(cls, value: bytes | None) -> Marker | None:
        """Read the value of the key; None if it is no marker.

        Examples:
            >>> Marker.decode(Marker("a", 1).encode())
            Marker(run_id='a', complete_until_ms=1)
            >>> Marker.decode(b"?") is None
            True
        """
        try:
            run_id, until_ms = orjson.loads(value or b"")
        except (TypeError, ValueError):
            return None
        return cls(str(run_id), until_ms) if isinstance(until_ms, int) else None

    def since_ms(self, run_id: str, *, now_ms: int) -> int | None:
        """Give since when decisions may be missing, ms since 1970 UTC; None if none is.

        Examples:
            >>> Marker("a", 50_000).since_ms("a", now_ms=51_000) is None
            True
            >>> Marker("a", 50_000).since_ms("b", now_ms=51_000)
            40000
        """
        is_other = bool(self.run_id and run_id and self.run_id != run_id)
        if is_other or self.complete_until_ms < now_ms - OLD_MS:
            return self.complete_until_ms - MARGIN_MS
        return None


class LostDecisions:
    """A thread that looks once a second."""

    def __init__(
        self,
        client: redis.Redis,
        rebuild: DecisionRebuild,
        *,
        clock_ms: Callable[[], int],
        on_loss: Callable[[bool], None],
        shown: Gauge,
    ) -> None:
        """Store the parts; connects at the first look.

        Args:
            client: of Redis, with a time limit; closed by `stop`.
            rebuild: writes the decisions.
            clock_ms: the clock, ms since 1970 UTC.
            on_loss: takes True when Redis has lost what it had while this process ran, and False
                when it has been written again. Called in the thread.
            shown: is 1 while first decisions are missing.
        """
        self._client = client
        self._rebuild = rebuild
        self._clock_ms = clock_ms
        self._on_loss = on_loss
        self._shown = shown
        self._advance: Any = client.register_script(ADVANCE_SCRIPT)
        self._prolong: Any = client.register_script(PROLONG_SCRIPT)
        self._known: Marker | None = None
        self._is_lost = False
        self._trouble: str | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lost-decisions", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; waits for it for some seconds at most."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        self._client.close()

    def look(self) -> None:
        """Ask Redis once whether it has what it had; if not, write it, unless another worker does.

        Blocks: for the whole rebuild.

        Raises:
            RetryableError: Kafka or MLflow does not answer.
            redis.RedisError: no answer.
        """
        asked = self._client.pipeline(transaction=False)
        asked.get(MARKER_KEY)
        asked.info("server")
        value, server = asked.execute(raise_on_error=False)
        if isinstance(value, redis.RedisError):
            raise value
        # A user of Redis may lack the permission for INFO.
        run_id = str(server.get("run_id", "")) if isinstance(server, dict) else ""
        now_ms = self._clock_ms()
        marker = Marker.decode(value)
        since_ms = 0 if marker is None else marker.since_ms(run_id, now_ms=now_ms)
        if marker is not None and since_ms is None:
            self._tell(is_lost=False, is_missing=False)
            if marker.complete_until_ms <= now_ms - LOOK_S * 1_000:
                newer = Marker(run_id, now_ms)
                self._advance(keys=[MARKER_KEY], args=[marker.encode(), newer.encode()])
            self._known = marker
            return
        has_seen_it = self._known is not None and (
            marker is None or marker.complete_until_ms < self._known.complete_until_ms - OLD_MS
        )
        self._tell(is_lost=self._is_lost or has_seen_it, is_missing=True)
        self._write_again(run_id, since_ms or 0, now_ms)

    def _write_again(self, run_id: str, since_ms: int, now_ms: int) -> None:
        token = uuid.uuid4().hex.encode()
        if not self._client.set(LOCK_KEY, token, nx=True, ex=LOCK_S):
            return
        logger.info("first decisions: Redis may lack some; writing them from the log")
        prolonged_s = time.monotonic()
        goes_on = True

        def go_on(_: Rebuilt) -> bool:
            nonlocal prolonged_s, goes_on
            if time.monotonic() > prolonged_s + LOOK_S:
                prolonged_s = time.monotonic()
                goes_on = bool(self._prolong(keys=[LOCK_KEY], args=[token, LOCK_S]))
            goes_on = goes_on and not self._stopping.is_set()
            return goes_on

        try:
            done = self._rebuild.run(
                self._client,
                now_ms=now_ms,
                since_ms=since_ms,
                busy_share=BUSY_SHARE,
                go_on=go_on,
            )
            # Emptied meanwhile, Redis has no lock any more: the next look begins again.
            if goes_on and self._prolong(keys=[LOCK_KEY], args=[token, LOCK_S]):
                self._client.set(MARKER_KEY, Marker(run_id, self._clock_ms()).encode())
                logger.info(
                    "first decisions: Redis has all; %d written of %d in the log",
                    done.written,
                    done.read,
                )
        finally:
            self._release(token)

    def _release(self, token: bytes) -> None:
        try:
            self._prolong(keys=[LOCK_KEY], args=[token, 0])
        except redis.RedisError:
            logger.debug("the lock expires by itself", exc_info=True)

    def _tell(self, *, is_lost: bool, is_missing: bool) -> None:
        self._shown.set(is_missing)
        if is_lost != self._is_lost:
            self._is_lost = is_lost
            self._on_loss(is_lost)

    def _run(self) -> None:
        pause_s = 0.0
        while not self._stopping.wait(pause_s):
            pause_s = LOOK_S
            try:
                self.look()
            except redis.RedisError:
                # The store warns of it; the marker tells later what was lost.
                continue
            except RetryableError as error:
                logger.warning("first decisions: not written again yet: %s", error)
                pause_s = PAUSE_S
