"""Asks the running velocity job to write all states to Redis again, and follows its progress.

Writes no state itself: the job has them all, with their sequence numbers. Called by
`weir online rebuild`, and, for the progress alone, by `weir status` and `weir doctor`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import redis

from clients.errors import RedisUnavailableError
from features.engine.plan import ENTITIES
from features.online.rewrite import (
    BY_HAND,
    RewriteProgress,
    marker_key,
    progress_field,
    progress_key,
)
from schemas.errors import WeirError
from schemas.settings import Settings

ANSWER_S_MAX: Final = 5.0
TAKEN_S_MAX: Final = 30.0
"""How long the job may take to notice; a writer looks once a second, or after a long write."""
SILENT_S_MAX: Final = 120.0
"""How long the progress of a rewrite under way may stay the same."""
_POLL_S: Final = 0.2


class NoRewriteError(WeirError):
    """The velocity job does not write the states: it does not run, or it got stuck."""


def connect(settings: Settings) -> redis.Redis:
    """Make a client with a time limit; connects with its first call."""
    return redis.Redis.from_url(
        settings.redis_url, socket_timeout=ANSWER_S_MAX, socket_connect_timeout=ANSWER_S_MAX
    )


def unavailable(settings: Settings, error: redis.RedisError) -> RedisUnavailableError:
    """Make the error that names the address, the setting and what to do."""
    return RedisUnavailableError(
        f"Redis does not answer at {settings.redis_url} (setting WEIR_REDIS_URL): "
        f"{error!s:.200}; start the stack with `weir up`"
    )


def read_progress(client: redis.Redis, settings: Settings) -> dict[str, RewriteProgress]:
    """Give the newest rewrite of each writer, by its name; what cannot be read is left out.

    Raises:
        redis.RedisError: no answer.
    """
    found = {}
    stored: dict[Any, Any] = client.hgetall(progress_key(settings.feast_project))
    for field, value in sorted(stored.items()):
        try:
            found[field.decode(errors="replace")] = RewriteProgress.decode(value)
        except ValueError:
            continue
    return found


def ask_for_rewrite(client: redis.Redis, settings: Settings) -> str:
    """Set another marker, which the job answers by a rewrite; gives it.

    Raises:
        redis.RedisError: no answer.
    """
    marker = f"{BY_HAND}-{uuid.uuid4().hex}"
    client.set(marker_key(settings.feast_project), marker)
    return marker


def follow_rewrite(
    client: redis.Redis,
    settings: Settings,
    marker: str,
    *,
    show: Callable[[dict[str, RewriteProgress]], object] = lambda _: None,
    taken_s_max: float = TAKEN_S_MAX,
) -> dict[str, RewriteProgress]:
    """Wait until every writer of the job has answered a marker completely.

    Args:
        client: as `connect` makes it.
        settings: where Flink's parallelism is, and so the number of writers.
        marker: as `ask_for_rewrite` gave it.
        show: takes the progress so far, a few times a second.
        taken_s_max: how long the job may take to notice, s.

    Raises:
        NoRewriteError: the job does not notice, or does not go on.
        redis.RedisError: no answer.
    """
    names = [
        progress_field(planned.entity, subtask).decode()
        for planned in ENTITIES
        for subtask in range(settings.flink_parallelism)
    ]
    last: dict[str, RewriteProgress] = {}
    changed_s = time.monotonic()
    while True:
        known = read_progress(client, settings)
        found = {name: known[name] for name in names if name in known}
        answered = {name: each for name, each in found.items() if each.marker == marker}
        if len(answered) == len(names) and all(each.is_done for each in answered.values()):
            return answered
        now_s = time.monotonic()
        if answered != last:
            last, changed_s = answered, now_s
            show(answered)
        limit_s = SILENT_S_MAX if len(answered) == len(names) else taken_s_max
        if now_s - changed_s > limit_s:
            missing = [name for name in names if not (name in answered and answered[name].is_done)]
            raise NoRewriteError(
                f"the velocity job has not written {', '.join(missing)} within {limit_s:.0f} s "
                "after the last progress; see `weir status`. When it runs (again), it writes all "
                "states by itself"
            )
        time.sleep(_POLL_S)
