"""Reads the hashes of users and merchants in Redis, for the surfaces that compare them.

Reads whole hashes in pipelines and finds keys by scanning; writes nothing. The layout of keys and
fields is in `features.online.layout`.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any, Final, TypeVar

import redis

from features.batch import BatchView
from features.definitions import Entity
from features.online.layout import complete_key, entity_key
from schemas.errors import RetryableError

ANSWER_S_MAX: Final = 10.0
_SCANNED_AT_ONCE: Final = 2_000

_T = TypeVar("_T")


class OnlineStatesUnreachableError(RetryableError):
    """Redis did not answer while parity was reading it."""


def _answered(ask: Callable[..., _T]) -> Callable[..., _T]:
    @wraps(ask)
    def asked(self: "OnlineStates", *arguments: Any) -> _T:
        try:
            return ask(self, *arguments)
        except redis.RedisError as error:
            raise OnlineStatesUnreachableError(
                f"Redis does not answer at {self.url} (setting WEIR_REDIS_URL): {error!s:.200}; "
                "start the stack with `weir up`, or leave this surface out with --only"
            ) from error

    return asked


class OnlineStates:
    """The hashes of one Feast project."""

    def __init__(self, url: str, *, project: str) -> None:
        """Point at a server; nothing is asked before the first call.

        Args:
            url: ``redis://host:port/db``.
            project: the Feast project whose keys are read.
        """
        self.url = url
        self._project = project
        self._client = redis.Redis.from_url(
            url, socket_timeout=ANSWER_S_MAX, socket_connect_timeout=ANSWER_S_MAX
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @_answered
    def read(self, entity: Entity, ids: Sequence[str]) -> list[Mapping[bytes, bytes]]:
        """Give the hashes of some entities in their order; empty where there is none.

        Raises:
            OnlineStatesUnreachableError: no answer.
        """
        pipeline = self._client.pipeline(transaction=False)
        for entity_id in ids:
            pipeline.hgetall(entity_key(entity, entity_id, self._project))
        found: list[Mapping[bytes, bytes]] = pipeline.execute()
        return found

    @_answered
    def read_fields(
        self, entity: Entity, ids: Sequence[str], fields: Sequence[bytes]
    ) -> list[list[bytes | None]]:
        """Give some fields of some entities, in the order of the ids; None where there is none.

        Raises:
            OnlineStatesUnreachableError: no answer.
        """
        pipeline = self._client.pipeline(transaction=False)
        for entity_id in ids:
            pipeline.hmget(entity_key(entity, entity_id, self._project), list(fields))
        found: list[list[bytes | None]] = pipeline.execute()
        return found

    @_answered
    def ids(self, entity: Entity) -> list[str]:
        """Give the ids of all entities that are stored.

        Raises:
            OnlineStatesUnreachableError: no answer.
        """
        return list(self._ids(entity))

    @_answered
    def complete_ms(self, view: BatchView) -> int | None:
        """Give the newest snapshot of a view that is complete, ms since 1970 UTC; None without one.

        Raises:
            OnlineStatesUnreachableError: no answer.
        """
        mark = self._client.get(complete_key(self._project, view))
        return int(mark) if isinstance(mark, bytes) and mark.isdigit() else None

    def _ids(self, entity: Entity) -> Iterator[str]:
        project = self._project.encode()
        # A key is this prefix, the length of the id in four bytes, the id, and the project.
        before = entity_key(entity, "", self._project)[: -len(project) - 4]
        seen: set[str] = set()
        for key in self._client.scan_iter(
            match=_literally(before) + b"*" + _literally(project), count=_SCANNED_AT_ONCE
        ):
            (length,) = struct.unpack_from("<I", key, len(before))
            start = len(before) + 4
            if len(key) == start + length + len(project):
                seen.add(key[start : start + length].decode())
        yield from seen


def _literally(text: bytes) -> bytes:
    """A pattern that matches a text and nothing else."""
    return b"".join(
        b"\\" + bytes([byte]) if byte in b"*?[]\\^-" else bytes([byte]) for byte in text
    )
