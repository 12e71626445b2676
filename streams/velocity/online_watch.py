"""Notices that Redis has lost states of the job: a missing marker, or another server.

Asked by the writer's thread (``online_writer.py``) about once a second; one round trip. Only what
the server tells is noticed: a single key that an operator deletes is not.
"""

import logging
import uuid
from typing import Any

import redis

from features.online.rewrite import BY_HAND, marker_key

log = logging.getLogger(__name__)


class OnlineWatch:
    """What one writer knows about the Redis that has its states.

    Args:
        project: the Feast project of the states.

    Attributes:
        marker: the marker that was found or set last; empty before the first look.
    """

    def __init__(self, project: str) -> None:
        self._key = marker_key(project)
        self.marker = ""
        self._run_id: str | None = None
        self._evicted = 0

    def look(self, client: redis.Redis, *, was_away: bool) -> str | None:
        """Ask Redis whether it still has what was written; sets a missing marker.

        Args:
            client: of the Redis that the writer writes to.
            was_away: whether the connection was lost since the last look. It matters only for a
                server that does not tell who it is.

        Returns:
            Why all states have to be written again; None if they have not.

        Raises:
            redis.RedisError: no answer.
        """
        asked = client.pipeline(transaction=False)
        asked.get(self._key)
        asked.info("server")
        asked.info("stats")
        marker, server, stats = asked.execute(raise_on_error=False)
        if isinstance(marker, redis.RedisError):
            raise marker
        # A user of Redis may lack the permission for INFO.
        run_id = server.get("run_id") if isinstance(server, dict) else None
        reason = self._reason(marker, run_id, was_away=was_away)
        self._run_id = run_id
        self._log_evictions(stats, same_server=reason is None)
        if marker is None:
            client.set(self._key, f"job-{uuid.uuid4().hex}", nx=True)
            marker = client.get(self._key)
        self.marker = bytes(marker or b"").decode(errors="replace")
        return reason

    def _reason(self, marker: bytes | None, run_id: str | None, *, was_away: bool) -> str | None:
        if not self.marker:
            return "the velocity job has started"
        if marker is None:
            return "Redis has lost its data"
        if marker != self.marker.encode():
            is_by_hand = marker.startswith(BY_HAND.encode())
            return "a rebuild was asked for" if is_by_hand else "Redis has lost its data"
        if run_id != self._run_id or (run_id is None and was_away):
            return "Redis was started again, or is another one"
        return None

    def _log_evictions(self, stats: Any, *, same_server: bool) -> None:
        evicted = stats.get("evicted_keys", 0) if isinstance(stats, dict) else 0
        if same_server and evicted > self._evicted:
            log.warning(
                "redis has evicted %d keys because its memory is full: the API knows no history of "
                "an entity whose state is gone; raise maxmemory, then run `weir online rebuild`",
                evicted - self._evicted,
            )
        self._evicted = evicted
