"""What the consumer of the feature log delivers and lets be committed, by a real Faust consumer.

Only Kafka is missing: what a fetch brings is given to it.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from schemas.settings import Settings
from scoring.worker.app import build_app
from scoring.worker.batch import Channels
from scoring.worker.direct_consumer import DirectConsumer, Fetched, use_direct_consumer

PLACE = TP("features", 0)
BATCH_MAX = 3


@dataclass
class FetchedRecord:
    offset: int
    timestamp: int = 1_795_478_400_123
    timestamp_type: int = 0


@contextmanager
def consumer_of(fetches: list[list[int]], delivered: list[Fetched]) -> Iterator[DirectConsumer]:
    """A consumer that is assigned `PLACE` and will be brought these offsets; in a running loop."""
    app = build_app(Settings(), Channels())
    wanted = asyncio.Event()
    wanted.set()
    use_direct_consumer(app, records_max=BATCH_MAX, wanted=wanted)
    app.flow_control.resume()

    async def deliver(message: Fetched) -> None:
        delivered.append(message)

    consumer = app.transport.create_consumer(
        callback=deliver, on_partitions_revoked=None, on_partitions_assigned=None
    )
    brought = [[FetchedRecord(offset) for offset in offsets] for offsets in fetches]

    async def next_records(_timeout: float) -> object:
        return ({PLACE: brought.pop(0)}, {PLACE}) if brought else (None, None)

    consumer._wait_next_records = next_records
    consumer.highwater = lambda _place: 0
    app.topics._acking_topics.add(PLACE.topic)
    try:
        yield consumer
    finally:
        # The thread that reads from Kafka was never started, but has its loop.
        consumer._thread.thread_loop.close()


def after(fetches: list[list[int]], check: Callable[[DirectConsumer, list[Fetched]], None]) -> None:
    """Let a consumer deliver these fetches, then look at it."""

    async def scenario() -> None:
        delivered: list[Fetched] = []
        with consumer_of(fetches, delivered) as consumer:
            for _ in fetches:
                await consumer._deliver_next()
            check(consumer, delivered)

    asyncio.run(scenario())


@given(st.lists(st.integers(1, 8), min_size=1, max_size=6))
def test_what_may_be_committed_grows_with_each_acknowledged_message_to_its_end(
    sizes: list[int],
) -> None:
    at = 10
    fetches = []
    for size in sizes:
        fetches.append(list(range(at, at + size)))
        at += size

    def check(consumer: DirectConsumer, delivered: list[Fetched]) -> None:
        offsets = [[record.offset for record in message.records] for message in delivered]
        assert [offset for part in offsets for offset in part] == list(range(10, at))
        assert all(1 <= len(part) <= BATCH_MAX for part in offsets)
        consumer._committed_offset[PLACE] = 10
        for message, part in zip(delivered, offsets, strict=True):
            assert consumer._new_offset(PLACE) is None
            assert consumer.ack(message)
            next_offset = consumer._new_offset(PLACE)
            assert next_offset == part[-1] + 1
            consumer._committed_offset[PLACE] = next_offset

    after(fetches, check)


def test_a_message_is_acknowledged_once() -> None:
    def check(consumer: DirectConsumer, delivered: list[Fetched]) -> None:
        assert consumer.ack(delivered[0])
        assert not consumer.ack(delivered[0])
        assert consumer._n_acked == 2

    after([[0, 1]], check)


def test_offsets_that_the_log_lacks_do_not_stop_commits() -> None:
    def check(consumer: DirectConsumer, delivered: list[Fetched]) -> None:
        consumer.ack(delivered[0])
        assert consumer._new_offset(PLACE) == 2
        consumer._committed_offset[PLACE] = 2
        consumer.ack(delivered[1])
        assert consumer._new_offset(PLACE) == 8

    after([[0, 1], [6, 7]], check)


def test_records_from_before_the_place_that_is_read_are_not_delivered_again() -> None:
    async def scenario() -> None:
        delivered: list[Fetched] = []
        with consumer_of([[3, 4], [5, 6]], delivered) as consumer:
            consumer._read_offset[PLACE] = 5
            await consumer._deliver_next()
            assert delivered == []
            await consumer._deliver_next()
            assert [message.first_offset for message in delivered] == [5]

    asyncio.run(scenario())


def test_what_was_fetched_while_nothing_may_flow_is_read_again_later() -> None:
    async def scenario() -> None:
        delivered: list[Fetched] = []
        sought = []

        async def seek() -> None:
            sought.append(True)

        with consumer_of([[0, 1]], delivered) as consumer:
            consumer.perform_seek = seek
            consumer.flow_active = False
            await consumer._deliver_next()
            assert (delivered, sought) == ([], [True])

    asyncio.run(scenario())


def test_the_rest_of_a_fetch_is_dropped_when_a_new_generation_begins() -> None:
    async def scenario() -> None:
        delivered: list[Fetched] = []
        with consumer_of([list(range(7))], delivered) as consumer:

            async def deliver_then_rebalance(message: Fetched) -> None:
                delivered.append(message)
                consumer.app.consumer_generation_id += 1

            consumer.callback = deliver_then_rebalance
            await consumer._deliver_next()
        assert [len(message.records) for message in delivered] == [BATCH_MAX]

    asyncio.run(scenario())


def test_nothing_is_asked_for_while_nothing_is_wanted() -> None:
    async def scenario() -> None:
        delivered: list[Fetched] = []
        with consumer_of([[0]], delivered) as consumer:
            consumer.wanted.clear()
            asking = asyncio.create_task(consumer._deliver_next())
            for _ in range(10):
                await asyncio.sleep(0)
            assert delivered == []
            consumer.wanted.set()
            await asking
        assert len(delivered) == 1

    asyncio.run(scenario())
