"""Gives first decisions whole: what Redis keeps of them, and their rows from the feature log.

The reader of the API uses it with its own connection and time limit; the command that reports
fraud uses `first_of` with a client of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis

from schemas.output_codec import decode_feature_row, encode_decision
from scoring.core.errors import OnlineStoreUnavailableError
from scoring.core.first_decision import DecisionContext, FirstDecision, decide_again
from scoring.core.ports import FeatureLog
from scoring.stores.kept_decisions import CONTEXTS_KEY, day_keys, id_digest


class KeptDecision(NamedTuple):
    """What is kept of a first decision."""

    first: FirstDecision
    context: DecisionContext | None
    """None if it is lost."""


class FirstDecisions:
    """Finds first decisions, and makes them whole."""

    def __init__(self, *, log: FeatureLog, now_s: Callable[[], int], ttl_s: int) -> None:
        """Store the parts.

        Args:
            log: reads the feature row of a first decision; closed by `close`.
            now_s: the time, s since 1970 UTC.
            ttl_s: how long a first decision is kept at least, s.
        """
        self._log = log
        self._now_s = now_s
        self._ttl_s = ttl_s

    async def kept(self, client: Redis, transaction_id: str) -> KeptDecision | None:
        """Read what is kept, in two round trips; None if nothing is.

        Raises:
            redis.exceptions.RedisError: no answer.
        """
        pipeline: Any = client.pipeline(transaction=False)
        for key in day_keys(self._now_s(), ttl_s=self._ttl_s):
            pipeline.hget(key, id_digest(transaction_id.encode()))
        first = first_of(await pipeline.execute())
        if first is None:
            return None
        context = await cast(
            Awaitable[bytes | None],
            client.hget(CONTEXTS_KEY, first.context),
        )
        return KeptDecision(first, None if context is None else DecisionContext.from_json(context))

    async def whole(self, kept: KeptDecision) -> bytes:
        """Give the decision as it was produced.

        Blocks: as `FeatureLog.read`.

        Raises:
            OnlineStoreUnavailableError: its row could not be read.
        """
        place = kept.first.place
        row = (await self._log.read([place])).get(place)
        if row is None:
            raise OnlineStoreUnavailableError(
                "the feature log did not give the row of the first decision in time: partition "
                f"{place.partition} offset {place.offset}"
            )
        return encode_decision(decide_again(kept.first, decode_feature_row(row), kept.context))

    def close(self) -> None:
        """Close the log."""
        self._log.close()


def first_of(answers: Sequence[bytes | None]) -> FirstDecision | None:
    """Give the first decision among the answers of the days; None if there is none."""
    found = next((answer for answer in answers if answer is not None), None)
    return None if found is None else FirstDecision.unpack(found)
