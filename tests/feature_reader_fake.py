"""The online store of tests: a `FeatureReader` in memory, held to the port's suite.

tests/contract/test_feature_reader.py runs on it and on Redis; nothing else may stand in
for the reader. ``is_down`` makes it behave as the adapter does when Redis is away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from features.online.layout import batch_fields, state_fields
from scoring.core.errors import OnlineStoreUnavailableError
from scoring.core.ports import EntityPair, EntityPairIds, StoredBatch


class FakeFeatureReader:
    """Gives what was put in; counts reads, so that a test can say how many there were."""

    def __init__(self) -> None:
        self.users: dict[str, Mapping[bytes, bytes]] = {}
        self.merchants: dict[str, Mapping[bytes, bytes]] = {}
        self.decisions: dict[str, bytes] = {}
        self.complete: bytes | None = None
        self.is_down = False
        self.is_closed = False
        self.reads = 0
        self.timeouts_ms: list[float | None] = []

    async def read_entities(
        self,
        *,
        user_id: str,
        merchant_id: str | None,
        with_batch: bool = False,
        timeout_ms: float | None = None,
    ) -> EntityPair:
        self._read(timeout_ms)
        return self._pair(user_id, merchant_id, with_batch=with_batch)

    async def read_many(
        self,
        ids: Sequence[EntityPairIds],
        *,
        with_batch: bool = False,
        timeout_ms: float | None = None,
    ) -> list[EntityPair]:
        self._read(timeout_ms)
        return [self._pair(*pair, with_batch=with_batch) for pair in ids]

    async def read_decision(self, transaction_id: str) -> bytes | None:
        self._read()
        return self.decisions.get(transaction_id)

    async def ping(self) -> None:
        self._read()

    async def close(self) -> None:
        self.is_closed = True

    def _pair(self, user_id: str, merchant_id: str | None, *, with_batch: bool) -> EntityPair:
        user = self.users.get(user_id, {})
        merchant = self.merchants.get(merchant_id or "", {})
        return EntityPair(
            user=[user.get(name) for name in state_fields("user")],
            merchant=[merchant.get(name) for name in state_fields("merchant") if merchant_id],
            batch=StoredBatch([user.get(name) for name in batch_fields()], self.complete)
            if with_batch
            else None,
        )

    def _read(self, timeout_ms: float | None = None) -> None:
        self.reads += 1
        self.timeouts_ms.append(timeout_ms)
        if self.is_down:
            raise OnlineStoreUnavailableError("the online store is down, says the test")
