"""The fetcher of the feature log on a real broker: order, places, and records of the past."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer

from scoring.worker.feature_log import Record
from scoring.worker.record_fetcher import RecordFetcher
from tests.damaged_log import damage
from tests.odd_headers import send_odd_header
from tests.services import Services

RECORDS_MAX = 4
WAIT_S = 0.5
ARRIVES_S_MAX = 20.0


class Log:
    """A topic of two partitions."""

    def __init__(self, kafka: Services) -> None:
        self.bootstrap = kafka.kafka_bootstrap
        self.name = kafka.new_topic(partitions=2)
        self._producer = Producer({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def send(self, *values: bytes, partition: int = 0) -> None:
        for value in values:
            self._producer.produce(
                self.name, value, b"key", partition, timestamp=7, headers=[("kind", b"\xff")]
            )
        assert self._producer.flush(30) == 0


def with_fetcher(
    log: Log, scenario: Callable[[RecordFetcher], Coroutine[Any, Any, None]]
) -> RecordFetcher:
    async def run() -> RecordFetcher:
        fetcher = RecordFetcher(log.bootstrap, records_max=RECORDS_MAX)
        try:
            await scenario(fetcher)
        finally:
            await fetcher.close()
        return fetcher

    return asyncio.run(run())


async def arrived(fetcher: RecordFetcher, count: int) -> list[Record]:
    """The next ``count`` records; fails when they do not come, or more do."""
    found: list[Record] = []
    async with asyncio.timeout(ARRIVES_S_MAX):
        while len(found) < count:
            more = await fetcher.next_records(WAIT_S)
            assert len(more) <= RECORDS_MAX
            found += more
    assert len(found) == count
    return found


async def waiting(
    fetcher: RecordFetcher, *, timeout_s: float = ARRIVES_S_MAX
) -> asyncio.Task[list[Record]]:
    """A caller that has asked and waits for a first record."""
    asking = asyncio.create_task(fetcher.next_records(timeout_s))
    await asyncio.sleep(WAIT_S)
    assert not asking.done()
    return asking


def test_records_come_whole_and_in_the_order_of_their_partition(kafka: Services) -> None:
    log = Log(kafka)
    log.send(*(b"a%d" % at for at in range(9)), partition=0)
    log.send(*(b"b%d" % at for at in range(9)), partition=1)

    async def scenario(fetcher: RecordFetcher) -> None:
        await fetcher.start_at({(log.name, 0): None, (log.name, 1): 5})
        found = await arrived(fetcher, 13)
        by_partition = [
            [record.value for record in found if record.partition == each] for each in (0, 1)
        ]
        assert by_partition == [
            [b"a%d" % at for at in range(9)],
            [b"b%d" % at for at in range(5, 9)],
        ]
        first = next(record for record in found if record.partition == 0)
        assert first == Record(log.name, 0, 0, 7, b"key", b"a0", [("kind", b"\xff")])
        assert await fetcher.next_records(WAIT_S) == []

    with_fetcher(log, scenario)


def test_a_record_is_given_as_soon_as_it_arrives(kafka: Services) -> None:
    log = Log(kafka)

    async def scenario(fetcher: RecordFetcher) -> None:
        await fetcher.start_at({(log.name, 0): None})
        # Longer than the test may take: it is the record that ends the wait.
        asking = await waiting(fetcher, timeout_s=10 * ARRIVES_S_MAX)
        await asyncio.to_thread(log.send, b"new")
        async with asyncio.timeout(ARRIVES_S_MAX):
            assert [record.value for record in await asking] == [b"new"]

    with_fetcher(log, scenario)


def test_what_was_asked_for_before_a_new_place_is_not_given_after_it(kafka: Services) -> None:
    log = Log(kafka)

    async def scenario(fetcher: RecordFetcher) -> None:
        await fetcher.start_at({(log.name, 0): None})
        asking = await waiting(fetcher)
        # Blocks the event loop: the answer is on its way, but belongs to the old place.
        log.send(b"0", b"1", b"2")
        await fetcher.start_at({(log.name, 0): 1})
        assert await asking == []
        assert [record.value for record in await arrived(fetcher, 2)] == [b"1", b"2"]

    with_fetcher(log, scenario)


def test_a_record_that_ends_a_cancelled_wait_is_given_to_the_next_caller(kafka: Services) -> None:
    log = Log(kafka)

    async def scenario(fetcher: RecordFetcher) -> None:
        await fetcher.start_at({(log.name, 0): None})
        asking = await waiting(fetcher)
        asking.cancel()
        await asyncio.to_thread(log.send, b"0", b"1")
        assert [record.value for record in await arrived(fetcher, 2)] == [b"0", b"1"]

    with_fetcher(log, scenario)


def test_a_wait_that_began_before_a_new_place_takes_no_record_of_it(kafka: Services) -> None:
    log = Log(kafka)

    async def scenario(fetcher: RecordFetcher) -> None:
        await fetcher.start_at({(log.name, 0): None})
        asking = await waiting(fetcher, timeout_s=2 * WAIT_S)
        moving = asyncio.create_task(fetcher.start_at({(log.name, 1): None}))
        await asyncio.to_thread(log.send, b"0", b"1", partition=1)
        await moving
        assert await asking == []
        assert [record.value for record in await arrived(fetcher, 2)] == [b"0", b"1"]

    with_fetcher(log, scenario)


def test_a_record_may_have_no_value_no_key_and_any_header_name(kafka: Services) -> None:
    log = Log(kafka)
    log._producer.produce(log.name, None, None, 0, timestamp=7)
    log.send()
    send_odd_header(log.bootstrap, log.name, b"odd", key=b"k", partition=0)
    log.send(b"last")

    async def scenario(fetcher: RecordFetcher) -> None:
        await fetcher.start_at({(log.name, 0): None})
        empty, odd, last = await arrived(fetcher, 3)
        assert empty == Record(log.name, 0, 0, 7, None, None, [])
        assert (odd.key, odd.value, odd.headers) == (b"k", b"odd", [])
        assert last.value == b"last"

    with_fetcher(log, scenario)


def test_an_offset_that_the_log_does_not_have_is_its_first_record(kafka: Services) -> None:
    log = Log(kafka)
    log.send(b"0", b"1")

    async def scenario(fetcher: RecordFetcher) -> None:
        await fetcher.start_at({(log.name, 0): 30})
        assert [record.offset for record in await arrived(fetcher, 2)] == [0, 1]

    with_fetcher(log, scenario)


def test_a_damaged_log_is_an_error_and_nothing_is_left_out(kafka: Services) -> None:
    log = Log(kafka)
    log.send(b"first")
    log.send(b"second")
    damage(kafka, log.name, b"first")

    async def scenario(fetcher: RecordFetcher) -> None:
        await fetcher.start_at({(log.name, 0): None})
        with pytest.raises(KafkaException, match="CRC32C"):
            await arrived(fetcher, 1)

    with_fetcher(log, scenario)


def test_a_closed_fetcher_gives_nothing_and_leaves_no_thread(kafka: Services) -> None:
    log = Log(kafka)
    log.send(b"0")

    async def scenario(fetcher: RecordFetcher) -> None:
        await fetcher.start_at({(log.name, 0): None})
        await arrived(fetcher, 1)

    fetcher = with_fetcher(log, scenario)
    assert asyncio.run(fetcher.next_records(WAIT_S)) == []
    assert not fetcher._thread.is_alive()
