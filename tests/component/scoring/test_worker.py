import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.batch import Record
from scoring.errors import DeliveryError
from scoring.worker import (
    WAITING_BATCHES_MAX,
    Intake,
    Progress,
    record_of,
    score_for_ever,
)


@dataclass
class FakeMessage:
    offset: int
    topic: str = "features"
    partition: int = 3
    timestamp: float = 1_795_478_400.123
    key: bytes | None = b"u-1"
    value: bytes | None = b"{}"
    headers: tuple[tuple[str, bytes], ...] | None = None


@dataclass
class FakeEvent:
    message: FakeMessage
    acked: list[int]

    def ack(self) -> None:
        self.acked.append(self.message.offset)


@dataclass
class FakeScorer:
    """Remembers batches and what was acknowledged when each one came."""

    acked: list[int]
    batches: list[list[int]] = field(default_factory=list)
    acked_before: list[list[int]] = field(default_factory=list)
    fails_at_batch: int | None = None

    async def score(self, records: list[Record]) -> None:
        self.acked_before.append(list(self.acked))
        self.batches.append([record.offset for record in records])
        await asyncio.sleep(0)
        if len(self.batches) == self.fails_at_batch:
            raise DeliveryError("the broker is away")


async def run_briefly(intake: Intake, scorer: FakeScorer, progress: Progress) -> None:
    task = asyncio.create_task(score_for_ever(intake, scorer, progress))  # type: ignore[arg-type]
    for _ in range(200):
        await asyncio.sleep(0)
        if task.done():
            await task
    task.cancel()


def in_loop(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


def test_events_are_acknowledged_in_order_after_their_batch_and_never_before() -> None:
    acked: list[int] = []
    scorer, progress = FakeScorer(acked), Progress()

    async def scenario() -> None:
        intake = Intake(batch_max=3, linger_ms=0)
        for offset in range(7):
            await intake.put(FakeEvent(FakeMessage(offset), acked))
        await run_briefly(intake, scorer, progress)

    in_loop(scenario)
    assert scorer.batches == [[0, 1, 2], [3, 4, 5], [6]]
    assert scorer.acked_before == [[], [0, 1, 2], [0, 1, 2, 3, 4, 5]]
    assert acked == list(range(7))
    assert progress.rows == 7


def test_a_batch_that_fails_is_not_acknowledged_and_ends_the_loop() -> None:
    acked: list[int] = []
    scorer = FakeScorer(acked, fails_at_batch=2)

    async def scenario() -> None:
        intake = Intake(batch_max=2, linger_ms=0)
        for offset in range(6):
            await intake.put(FakeEvent(FakeMessage(offset), acked))
        with pytest.raises(DeliveryError):
            await run_briefly(intake, scorer, Progress())

    in_loop(scenario)
    assert acked == [0, 1]


@given(st.integers(1, 5), st.lists(st.integers(1, 9), max_size=8))
def test_every_event_is_taken_once_in_order_in_batches_no_larger_than_the_limit(
    batch_max: int, arrivals: list[int]
) -> None:
    taken: list[int] = []

    async def scenario() -> None:
        intake = Intake(batch_max=batch_max, linger_ms=0)

        async def put_all() -> None:
            at = 0
            for count in arrivals:
                for _ in range(count):
                    await intake.put(at)
                    at += 1
                await asyncio.sleep(0)

        putting = asyncio.create_task(put_all())
        while len(taken) < sum(arrivals):
            batch = await intake.take()
            assert 1 <= len(batch) <= batch_max
            taken.extend(batch)
        await putting

    in_loop(scenario)
    assert taken == list(range(sum(arrivals)))


def test_a_full_intake_asks_for_no_more_until_a_batch_is_taken() -> None:
    async def scenario() -> None:
        intake = Intake(batch_max=2, linger_ms=0)
        room = WAITING_BATCHES_MAX * 2
        for at in range(room):
            await intake.put(at)
        one_more: asyncio.Task[Any] = asyncio.create_task(intake.put(room))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not one_more.done()
        assert await intake.take() == [0, 1]
        await one_more

    in_loop(scenario)


def test_a_message_becomes_a_record_with_nothing_decoded() -> None:
    headers = (("a", b"1"), ("a", b"2"))
    assert record_of(FakeMessage(7, value=b"\xff", headers=headers)) == Record(
        topic="features",
        partition=3,
        offset=7,
        timestamp_ms=1_795_478_400_123,
        key=b"u-1",
        value=b"\xff",
        headers=list(headers),
    )
    assert record_of(FakeMessage(7, value=None)).headers == []
