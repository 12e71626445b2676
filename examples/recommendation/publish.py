"""Writes a night's candidates to Redis and swaps to them at once.

The version in use stays until the new one is complete, so a night that fails, or is killed, leaves
yesterday's candidates. Called by the nightly job, `examples.recommendation.night`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import numpy as np
import redis
from numpy.typing import NDArray

from examples.recommendation import popular_file
from examples.recommendation.candidates import Candidates
from examples.recommendation.stored import (
    BUCKETS,
    CURRENT_KEY,
    SWAP_SCRIPT,
    WRITING_KEY,
    bucket_key,
    bucket_of,
    candidates_value,
    popular_value,
)
from schemas.errors import WeirError

log = logging.getLogger(__name__)

LIFETIME_S: Final = 24 * 3_600
LIFETIME_JITTER_S: Final = 6 * 3_600
"""The lifetime of a bucket is `LIFETIME_S` and a random part of this, so that not all of them
expire in the same second."""
AGE_S_MAX: Final = 7 * 24 * 3_600
"""Candidates older than this are not kept any longer: they expire, and popular products follow."""


class NightTakenOverError(WeirError):
    """Another night has begun to write candidates, so this one does not become the version in use.

    Nothing has changed. Let one of them finish.
    """


class Written(NamedTuple):
    """What a night wrote."""

    version: str
    shoppers: int
    candidates: int
    value_bytes: int


@dataclass(frozen=True)
class Night:
    """One night's writing.

    Attributes:
        client: of Redis, answers bytes.
        version: name of the version, different from every other.
        now_ms: when the night began, ms since 1970 UTC.
    """

    client: redis.Redis
    version: str
    now_ms: int

    def begin(self) -> None:
        """Take over from a night that did not finish, and keep the version in use for longer.

        The lifetimes of the version in use start again, so that it outlives a night that fails;
        but not if it is older than `AGE_S_MAX`.
        """
        left = self.client.getset(WRITING_KEY, self.version)
        self.client.expire(WRITING_KEY, LIFETIME_S)
        if left:
            log.warning("deleting the candidates of a night that did not finish: %s", _text(left))
            _delete(self.client, _text(left))
        version, built_at_ms = self.client.hmget(CURRENT_KEY, ["version", "built_at_ms"])
        if version and built_at_ms and self.now_ms - int(built_at_ms) <= 1_000 * AGE_S_MAX:
            _renew(self.client, _text(version), seed=self.version)

    def write(
        self, users: list[str], product_ids: NDArray[np.int64], parts: Iterable[Candidates]
    ) -> Written:
        """Write all candidates; nothing reads them before `finish`.

        Args:
            users: the id of each numbered shopper.
            product_ids: of the catalogue, by position.
            parts: the candidates of all shoppers, part by part.
        """
        buckets: list[dict[str, bytes]] = [{} for _ in range(BUCKETS)]
        shoppers = candidates = value_bytes = 0
        for part in parts:
            counts = (part.product >= 0).sum(axis=1).tolist()
            ids = product_ids[part.product]
            for row, number in enumerate(part.user.tolist()):
                if not counts[row]:
                    continue
                is_found = part.product[row] >= 0
                value = candidates_value(ids[row][is_found], part.score[row][is_found])
                buckets[bucket_of(users[number])][users[number]] = value
                shoppers, candidates = shoppers + 1, candidates + counts[row]
                value_bytes += len(value)
        self._write_buckets(buckets)
        return Written(self.version, shoppers, candidates, value_bytes)

    def finish(self, popular: NDArray[np.int64], file: Path) -> str | None:
        """Swap to the version that was written, and delete the one before.

        Args:
            popular: ids of popular products, for shoppers without candidates.
            file: where processes find the popular products when Redis is empty.

        Returns:
            The version that was used before; None if there was none.

        Raises:
            NightTakenOverError: another night has begun meanwhile.
        """
        before = self.client.eval(
            SWAP_SCRIPT,
            2,
            CURRENT_KEY,
            WRITING_KEY,
            self.version,
            str(self.now_ms),
            popular_value(popular),
        )
        if before is None:
            _delete(self.client, self.version)
            raise NightTakenOverError(
                f"another night has begun to write candidates, so {self.version} is not used; "
                "let one of them finish"
            )
        popular_file.write(file, popular.tolist())
        if not before:
            return None
        # A ranking reads the version and its candidates in one call, so none is under way.
        _delete(self.client, _text(before))
        return _text(before)

    def _write_buckets(self, buckets: list[dict[str, bytes]]) -> None:
        jitter = Random(self.version)
        for number, fields in enumerate(buckets):
            if not fields:
                continue
            # A bucket and its lifetime together: none is left that never expires.
            pipeline = self.client.pipeline(transaction=True)
            key = bucket_key(self.version, number)
            pipeline.hset(key, mapping=fields)  # type: ignore[arg-type]
            pipeline.expire(key, _lifetime_s(jitter))
            pipeline.execute()


def _lifetime_s(jitter: Random) -> int:
    return LIFETIME_S + jitter.randrange(LIFETIME_JITTER_S)


def _renew(client: redis.Redis, version: str, *, seed: str) -> None:
    jitter = Random(seed)
    pipeline = client.pipeline(transaction=False)
    for number in range(BUCKETS):
        pipeline.expire(bucket_key(version, number), _lifetime_s(jitter))
    pipeline.execute()


def _delete(client: redis.Redis, version: str) -> None:
    pipeline = client.pipeline(transaction=False)
    for number in range(BUCKETS):
        # The memory is given back by a thread of Redis, so no read waits for it.
        pipeline.unlink(bucket_key(version, number))
    pipeline.execute()


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
