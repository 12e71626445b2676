import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.core.errors import DeliveryError
from scoring.worker.feature_log import Record
from scoring.worker.intake import (
    BATCH_LINGER_ROWS_MAX,
    BATCH_LINGER_ROWS_MIN,
    Intake,
    ScoredRows,
    score_forever,
)


def record(offset: int) -> Record:
    return Record("features", 3, offset, 1_795_478_400_123, b"u-1", b"{}", [])


@dataclass
class FakeMessage:
    records: list[Record]


@dataclass
class FakeEvent:
    """A message of the records at ``offsets``."""

    message: FakeMessage
    acked: list[int]

    def ack(self) -> None:
        self.acked += offsets_of(self)


def event(*offsets: int, acked: list[int] | None = None) -> FakeEvent:
    records = [record(offset) for offset in offsets]
    return FakeEvent(FakeMessage(records), [] if acked is None else acked)


def offsets_of(*events: FakeEvent) -> list[int]:
    return [record.offset for each in events for record in each.message.records]


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


async def run_briefly(intake: Intake, scorer: FakeScorer, scored: ScoredRows) -> None:
    task = asyncio.create_task(score_forever(intake, scorer, scored))  # type: ignore[arg-type]
    for _ in range(200):
        await asyncio.sleep(0)
        if task.done():
            await task
    task.cancel()


def in_loop(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


def test_messages_are_acknowledged_in_order_after_their_batch_and_never_before() -> None:
    acked: list[int] = []
    scorer, scored = FakeScorer(acked), ScoredRows()

    async def scenario() -> None:
        intake = Intake(batch_max=3)
        for offsets in ((0, 1), (2,), (3,), (4, 5), (6,)):
            intake.put(event(*offsets, acked=acked))
        await run_briefly(intake, scorer, scored)

    in_loop(scenario)
    assert scorer.batches == [[0, 1, 2], [3, 4, 5], [6]]
    assert scorer.acked_before == [[], [0, 1, 2], [0, 1, 2, 3, 4, 5]]
    assert acked == list(range(7))
    assert scored.total == 7


def test_a_batch_that_fails_is_not_acknowledged_and_ends_the_loop() -> None:
    acked: list[int] = []
    scorer = FakeScorer(acked, fails_at_batch=2)

    async def scenario() -> None:
        intake = Intake(batch_max=2)
        for offset in range(6):
            intake.put(event(offset, acked=acked))
        with pytest.raises(DeliveryError):
            await run_briefly(intake, scorer, ScoredRows())

    in_loop(scenario)
    assert acked == [0, 1]


@given(st.integers(1, 5), st.lists(st.lists(st.integers(1, 7), max_size=3), max_size=8))
def test_every_row_is_taken_once_in_order_and_messages_share_a_batch_only_up_to_the_limit(
    batch_max: int, arrivals: list[list[int]]
) -> None:
    taken: list[int] = []
    total = sum(map(sum, arrivals))

    async def scenario() -> None:
        intake = Intake(batch_max=batch_max)

        async def put_all() -> None:
            at = 0
            for sizes in arrivals:
                for size in sizes:
                    intake.put(event(*range(at, at + size)))
                    at += size
                await asyncio.sleep(0)

        putting = asyncio.create_task(put_all())
        while len(taken) < total:
            batch = await intake.take_batch()
            offsets = offsets_of(*batch)
            assert len(batch) == 1 or len(offsets) <= batch_max
            taken.extend(offsets)
        await putting

    in_loop(scenario)
    assert taken == list(range(total))


def test_a_small_batch_waits_for_more_rows_after_a_large_one_only() -> None:
    async def scenario() -> None:
        intake = Intake(batch_max=500, linger_s=0.05)
        for rows_before, taken in (
            (BATCH_LINGER_ROWS_MAX, [0, 1]),
            (BATCH_LINGER_ROWS_MIN, [0, 1]),
            (BATCH_LINGER_ROWS_MIN - 1, [0]),
        ):
            intake.put(event(*range(rows_before)))
            await intake.take_batch()
            taking = asyncio.create_task(intake.take_batch())
            intake.put(event(0))
            await asyncio.sleep(0.001)
            intake.put(event(1))
            assert offsets_of(*await taking) == taken, rows_before
            if taken == [0]:
                assert offsets_of(*await intake.take_batch()) == [1]

    in_loop(scenario)


def test_a_large_batch_and_one_without_a_linger_do_not_wait() -> None:
    async def scenario() -> None:
        large = Intake(batch_max=500, linger_s=60)
        for _ in range(2):
            large.put(event(*range(BATCH_LINGER_ROWS_MAX)))
            taken = await asyncio.wait_for(large.take_batch(), 5)
            assert len(offsets_of(*taken)) == BATCH_LINGER_ROWS_MAX

        at_once = Intake(batch_max=500)
        at_once.put(event(*range(BATCH_LINGER_ROWS_MAX)))
        await at_once.take_batch()
        taking = asyncio.create_task(at_once.take_batch())
        at_once.put(event(0))
        await asyncio.sleep(0.001)
        at_once.put(event(1))
        assert offsets_of(*await taking) == [0]

    in_loop(scenario)


def test_records_are_wanted_only_while_the_loop_waits_for_a_batch() -> None:
    async def scenario() -> None:
        intake = Intake(batch_max=2)
        assert not intake.wanted.is_set()
        taking = asyncio.create_task(intake.take_batch())
        await asyncio.sleep(0)
        assert intake.wanted.is_set()
        intake.put(event(0, 1))
        intake.put(event(2, 3))
        assert offsets_of(*await taking) == [0, 1]
        assert not intake.wanted.is_set()

        # A full batch is queued already.
        rest = await intake.take_batch()
        assert offsets_of(*rest) == [2, 3]
        assert not intake.wanted.is_set()

    in_loop(scenario)
