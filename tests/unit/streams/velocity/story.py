"""Feeds records to a velocity job in memory, and reads what it produces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from features.engine.job import KeptStates
from schemas import topics
from schemas.transaction import Limits
from streams.velocity.record_frame import InboundRecord
from tests.builders import LIMITS, NOW_MS, label_object, transaction_object, wire
from tests.journaled_stage import FEW_KEPT, ONE_OPERATOR, InMemoryJob
from tests.unit.streams.velocity.test_record_frame import framed


class Story:
    """A job and the records that it has produced."""

    def __init__(
        self,
        *,
        operators: Sequence[tuple[int, int]] = ONE_OPERATOR,
        limits: Limits = LIMITS,
        kept: KeptStates = FEW_KEPT,
    ) -> None:
        self.job = InMemoryJob(
            limits=limits,
            clock_ms=lambda: NOW_MS,
            operators=operators,
            kept=kept,
        )
        self.produced: list[InboundRecord] = []
        self._offset = 0

    def frame(
        self,
        value: bytes | None,
        *,
        topic: str = topics.TRANSACTIONS,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> bytes:
        """The frame of the next record; each has an offset of its own."""
        self._offset += 1
        return framed(
            topic=topic.encode(),
            partition=1,
            offset=self._offset - 1,
            timestamp_ms=NOW_MS,
            key=None,
            value=value,
            headers=headers,
        )

    def feed(self, *frames: bytes) -> list[InboundRecord]:
        """Process a batch; gives the records that it produced."""
        produced = [InboundRecord.parse(frame) for frame in self.job.run(frames)]
        self.produced += produced
        return produced

    def transaction(self, **changes: Any) -> dict[str, Any]:
        """Feed a transaction; gives its feature row."""
        (record,) = self.feed(self.frame(wire(transaction_object(**changes))))
        return row_of(record)

    def label(self, **changes: Any) -> None:
        """Feed a label."""
        value = wire(label_object(**changes))
        assert self.feed(self.frame(value, topic=topics.LABELS)) == []


def row_of(record: InboundRecord) -> dict[str, Any]:
    """The feature row in a produced record."""
    assert record.topic == topics.FEATURES.encode(), record
    row: dict[str, Any] = orjson.loads(record.value or b"")
    return row
