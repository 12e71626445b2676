"""Parts of the worker for tests: a model that answers as told, a sink and a store in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from features.online.layout import batch_fields
from models.encoding.row import encode_row
from models.encoding.vector import VectorSpec
from models.model import Model, ReadRowsModel, Scores
from schemas.decision import ModelRef, Offset
from schemas.feature_row import FeatureRow
from scoring.core.ports import Kept, OutgoingRecord, StoredBatch
from tests.builders import FEATURE_ROW, transaction


def feature_row(
    transaction_id: str = "t-1",
    *,
    definition_digest: str = DEFINITION_DIGEST,
    features: dict[str, int | float | None] | None = None,
) -> FeatureRow:
    """A whole feature row: every feature 0, unless said otherwise."""
    values: dict[str, int | float | None] = dict.fromkeys(FEATURE_NAMES, 0)
    return replace(
        FEATURE_ROW,
        transaction=transaction(transaction_id=transaction_id),
        features={**values, **(features or {})},
        definition_digest=definition_digest,
    )


class FixedModel:
    """Scores every row alike and remembers how many rows each call had."""

    def __init__(
        self, score: float, *, version: str = "1", batch_columns: tuple[str, ...] = ()
    ) -> None:
        self.ref = ModelRef(name="fixed", version=version, digest="d" * 16)
        self.definition_digest: str | None = DEFINITION_DIGEST
        self.spec: VectorSpec | None = VectorSpec(("amount_minor", *batch_columns), {})
        self.reader: ReadRowsModel | None = None
        self.batch_columns = batch_columns
        self.calls: list[int] = []
        self.rows: list[FeatureRow] = []
        self._score = score

    def score(self, rows: Sequence[FeatureRow]) -> Scores:
        self.calls.append(len(rows))
        self.rows.extend(rows)
        assert self.spec is not None
        vectors = [encode_row(self.spec, row.transaction, row.features) for row in rows]
        return Scores([self._score] * len(rows), vectors)


class FixedSource:
    """A `ModelSource` that a test sets."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def current(self) -> Model:
        return self.model


class MemoryStore:
    """The `DecisionStore` of unit tests; in the suite of tests/contract/test_decision_store.py."""

    def __init__(self) -> None:
        self.decisions: dict[bytes, bytes] = {}
        self.contexts: dict[bytes, bytes] = {}
        self.is_away = False

    async def keep_first(
        self,
        proposals: Sequence[tuple[bytes, bytes]],
        *,
        contexts: Mapping[bytes, bytes],
        when_unstored: Callable[[int], bytes],
    ) -> Kept:
        values = []
        for at, (transaction_id, proposed) in enumerate(proposals):
            value = when_unstored(at) if self.is_away else proposed
            values.append(self.decisions.setdefault(transaction_id, value))
        self.contexts.update(contexts)
        return Kept(values, not self.is_away)

    async def context(self, digest: bytes) -> bytes | None:
        return self.contexts.get(digest)

    async def close(self) -> None: ...


class MemoryFeatureLog:
    """The `FeatureLog` of tests: the rows that a test puts in."""

    def __init__(self) -> None:
        self.rows: dict[Offset, bytes] = {}
        self.reads: list[list[Offset]] = []

    async def read(self, places: Sequence[Offset]) -> dict[Offset, bytes]:
        if places:
            self.reads.append(list(places))
        return {place: self.rows[place] for place in places if place in self.rows}

    def close(self) -> None: ...


class MemoryBatchReader:
    """The `BatchFeatureReader` of unit tests; in the suite of tests/contract."""

    def __init__(self) -> None:
        self.users: dict[str, Mapping[bytes, bytes]] = {}
        self.complete: bytes | None = None
        self.is_away = False
        self.calls: list[list[str]] = []

    async def read_users(self, user_ids: Sequence[str]) -> Sequence[StoredBatch] | None:
        self.calls.append(list(user_ids))
        if self.is_away:
            return None
        found = (self.users.get(user_id, {}) for user_id in user_ids)
        return [
            StoredBatch([user.get(name) for name in batch_fields()], self.complete)
            for user in found
        ]

    async def close(self) -> None: ...


class MemorySink:
    """Keeps what is sent; raises `error` instead, if a test sets one."""

    def __init__(self) -> None:
        self.records: list[OutgoingRecord] = []
        self.error: Exception | None = None

    async def send(self, records: Sequence[OutgoingRecord]) -> None:
        if self.error is not None:
            raise self.error
        self.records.extend(records)
