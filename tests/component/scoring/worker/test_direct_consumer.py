"""What the consumer of the feature log delivers and commits, with a real Faust consumer.

Only Kafka is replaced: the tests supply the fetched records.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

from aiokafka.consumer.subscription_state import SubscriptionState
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
    topic: str = PLACE.topic
    partition: int = PLACE.partition
    timestamp_ms: int = 1_795_478_400_123


@contextmanager
def consumer_of(fetches: list[list[int]], delivered: list[Fetched]) -> Iterator[DirectConsumer]:
    """A consumer with `PLACE` assigned and these offsets to fetch; needs a running event loop."""
    app = build_app(Settings(), Channels())
    wanted = asyncio.Event()
    wanted.set()
    use_direct_consumer(app, records_max=BATCH_MAX, wanted=wanted, bootstrap="")
    app.flow_control.resume()

    async def deliver(message: Fetched) -> None:
        delivered.append(message)

    consumer = app.transport.create_consumer(
        callback=deliver, on_partitions_revoked=None, on_partitions_assigned=None
    )
    fetched_records = [[FetchedRecord(offset) for offset in offsets] for offsets in fetches]

    async def next_records(_timeout: float) -> object:
        return ({PLACE: fetched_records.pop(0)}, {PLACE}) if fetched_records else (None, None)

    consumer._wait_next_records = next_records
    app.topics._acking_topics.add(PLACE.topic)
    try:
        yield consumer
    finally:
        # The consumer's thread was never started, but its event loop exists.
        consumer._thread.thread_loop.close()


def seeks_of(consumer: DirectConsumer) -> list[bool]:
    """Gets an item for each seek to the committed offsets, which is left out."""
    sought = []

    async def seek() -> None:
        sought.append(True)

    consumer.perform_seek = seek
    return sought


def after(fetches: list[list[int]], check: Callable[[DirectConsumer, list[Fetched]], None]) -> None:
    """Let a consumer deliver these fetches, then run ``check``."""

    async def scenario() -> None:
        delivered: list[Fetched] = []
        with consumer_of(fetches, delivered) as consumer:
            for _ in fetches:
                await consumer._deliver_next()
            check(consumer, delivered)

    asyncio.run(scenario())


@given(st.lists(st.integers(1, 8), min_size=1, max_size=6))
def test_the_committable_offset_is_the_end_of_the_last_acknowledged_message(
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


def test_gaps_in_the_offsets_do_not_stop_commits() -> None:
    def check(consumer: DirectConsumer, delivered: list[Fetched]) -> None:
        consumer.ack(delivered[0])
        assert consumer._new_offset(PLACE) == 2
        consumer._committed_offset[PLACE] = 2
        consumer.ack(delivered[1])
        assert consumer._new_offset(PLACE) == 8

    after([[0, 1], [6, 7]], check)


def test_a_log_without_the_committed_offset_is_delivered_and_committed_from_its_first_record() -> (
    None
):
    async def scenario() -> None:
        delivered: list[Fetched] = []
        with consumer_of([[30, 31], [0, 1], [2, 3]], delivered) as consumer:
            consumer._committed_offset[PLACE] = 30
            consumer._read_offset[PLACE] = 30
            await consumer._deliver_next()
            consumer._unacked_messages.add(delivered[0])
            going_on = asyncio.create_task(consumer._deliver_next())
            await asyncio.sleep(0.05)
            assert len(delivered) == 1, "an offset of the old log could still be acknowledged"
            consumer.ack(delivered[0])
            await going_on
            await consumer._deliver_next()
            for message in delivered[1:]:
                consumer.ack(message)
            assert [message.first_offset for message in delivered] == [30, 0, 2]
            assert consumer._new_offset(PLACE) == 4

    asyncio.run(scenario())


def test_records_of_a_partition_that_is_not_active_are_fetched_again() -> None:
    async def scenario() -> None:
        delivered: list[Fetched] = []

        async def next_records(_timeout: float) -> object:
            return {PLACE: [FetchedRecord(0)]}, {TP("features", 1)}

        with consumer_of([], delivered) as consumer:
            sought = seeks_of(consumer)
            consumer._wait_next_records = next_records
            await consumer._deliver_next()
            assert (delivered, sought) == ([], [True])

    asyncio.run(scenario())


def test_records_fetched_while_the_flow_is_suspended_are_fetched_again() -> None:
    async def scenario() -> None:
        delivered: list[Fetched] = []
        with consumer_of([[0, 1]], delivered) as consumer:
            sought = seeks_of(consumer)
            consumer.flow_active = False
            await consumer._deliver_next()
            assert (delivered, sought) == ([], [True])

    asyncio.run(scenario())


def test_the_rest_of_a_fetch_is_dropped_when_a_new_generation_starts() -> None:
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


def test_the_consumer_fetches_only_while_records_are_wanted() -> None:
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


def test_a_consumer_that_waits_for_records_does_not_count_as_idle() -> None:
    async def scenario() -> None:
        subscription = SubscriptionState()
        subscription._last_fetch_ended = float("-inf")
        found = [FetchedRecord(0), FetchedRecord(5, partition=1), FetchedRecord(1)]

        class Fetcher:
            async def next_records(self, _timeout_s: float) -> list[FetchedRecord]:
                # After a long idle time aiokafka leaves the group.
                assert subscription.fetcher_idle_time == 0
                return found

        with consumer_of([], []) as consumer:
            consumer._thread._consumer = SimpleNamespace(_subscription=subscription)
            consumer.fetcher = Fetcher()
            records = await consumer._getmany(active_partitions=None, timeout=1.0)
            assert records == {PLACE: [found[0], found[2]], TP("features", 1): [found[1]]}
            assert subscription.fetcher_idle_time < 60
            consumer.flow_active = False
            assert await consumer._getmany(active_partitions=None, timeout=1.0) == {}

    asyncio.run(scenario())
