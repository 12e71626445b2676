"""A Kafka consumer for Faust that delivers the records of a fetch as one message.

Faust's own consumer makes a message and an event of each record, starts four asyncio tasks to be
able to stop at a rebalance, and acknowledges each record: 133 us of CPU an event. Here a message
holds all records of one fetch and partition, at most ``records_max``, so this work is done once for
many records; and no task is started while no flow is suspended. It reads committed records only,
which Faust does only with its own transactions. aiokafka stops at a header whose name is not UTF-8;
``lenient_read.py`` reads such records. The rest is Faust's: the stream drops messages of an older
generation, a rebalance and a stop wait for unacknowledged messages, and commits follow
acknowledgements. Used by ``app.py``; knows nothing of scoring.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP, ConsumerMessage
from mode.utils.futures import notify

logger = logging.getLogger(__name__)

_WAIT_S = 1.0
"""Longest wait for records before checking whether to stop, s; the same as Faust's."""


LenientRead = Callable[[str, int, int, int], Sequence[Any]]
"""Gives the records of a topic's partition from an offset on, at most so many."""


class Fetched(ConsumerMessage):
    """Records of one partition as one Faust message, acknowledged together.

    Attributes:
        records: records of aiokafka in log order, at least one. The message's own ``value`` and
            ``key`` stay empty.
        first_offset: the offset after the previous message. It is lower than the offset of the
            first record if offsets are missing from the log; those are acknowledged with it.
    """

    __slots__ = ("first_offset", "records")

    def __init__(
        self, tp: TP, records: Sequence[Any], *, first_offset: int, generation_id: int
    ) -> None:
        last = records[-1]
        super().__init__(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1_000,
            last.timestamp_type,
            None,
            None,
            b"",
            None,
            tp=tp,
            generation_id=generation_id,
        )
        self.records = records
        self.first_offset = first_offset


class ReadCommittedThread(AIOKafkaConsumerThread):
    """Faust's consumer thread, with a client that skips records of aborted transactions."""

    def _create_worker_consumer(self, transport: Transport) -> AIOKafkaConsumer:
        client = super()._create_worker_consumer(transport)
        # Faust has no setting for it: without transactions of its own it reads uncommitted records.
        # The client takes the level when it starts, which is later.
        client._isolation_level = "read_committed"  # noqa: SLF001
        return client


class DirectConsumer(Consumer):
    """Fetches only when records are wanted, and delivers the records of a fetch together.

    A delivery waits when the agent's queue is full. It ends when the agent takes events, which
    continues during a rebalance, or it is cancelled when Faust stops fetching. A message that is
    delivered after a rebalance carries its old generation, so the stream drops it.
    """

    records_max: int
    wanted: asyncio.Event
    read_leniently: LenientRead

    def _new_consumer_thread(self) -> ReadCommittedThread:
        return ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)

    def ack(self, message: Fetched) -> bool:  # type: ignore[override] # all messages are its own
        """Add all offsets of a message to the acknowledged ones, which Faust commits."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        tp = message.tp
        committed = self._committed_offset[tp]
        done = self._acked_index[tp]
        offsets = [
            offset
            for offset in range(message.first_offset, message.offset + 1)
            if offset not in done and (committed is None or offset >= committed)
        ]
        done.update(offsets)
        self._acked[tp].extend(offsets)
        self._n_acked += len(offsets)
        notify(self._waiting_for_ack)
        return True

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                await self._deliver_next()
        except BaseException as error:
            expected = (*self.consumer_stopped_errors, asyncio.CancelledError)
            if not (isinstance(error, expected) and self.transport.app.should_stop):
                raise

    async def _deliver_next(self) -> None:
        await self.wanted.wait()
        try:
            fetched, active = await self._wait_next_records(_WAIT_S)
        except UnicodeDecodeError as error:
            logger.warning("aiokafka cannot decode a record, another client reads it: %s", error)
            await self._deliver_leniently()
            return
        generation_id = self.app.consumer_generation_id
        if fetched is None or self.should_stop:
            return
        if not self.flow_active:
            # The fetched records are dropped; fetch them again when the flow resumes.
            await self.perform_seek()
            return
        for tp, records in fetched.items():
            if active is not None and tp not in active and tp not in self._buffered_partitions:
                continue
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            for start in range(0, len(records), self.records_max):
                # Both may change during a delivery.
                events_flow: bool = self.flow_active
                if not events_flow or self.app.consumer_generation_id != generation_id:
                    return
                part = records[start : start + self.records_max]
                await self._deliver(tp, part, generation_id=generation_id)

    async def _deliver_leniently(self) -> None:
        """Deliver the next records of every partition, and let aiokafka go on after them.

        A record that was delivered last may be delivered once more.
        """
        generation_id = self.app.consumer_generation_id
        for tp in self.assignment():
            start = self._read_offset[tp] or 0
            records = await asyncio.to_thread(
                type(self).read_leniently, tp.topic, tp.partition, start, self.records_max
            )
            if self.app.consumer_generation_id != generation_id:
                return
            if records:
                await self._deliver(tp, records, generation_id=generation_id)
            await self._seek(tp, records[-1].offset + 1 if records else start)

    async def _deliver(self, tp: TP, records: Sequence[Any], *, generation_id: int) -> None:
        first_offset = records[0].offset
        read = self._read_offset[tp]
        if read is not None:
            if records[-1].offset < read:
                return
            first_offset = min(first_offset, read + 1)
        message = Fetched(tp, records, first_offset=first_offset, generation_id=generation_id)
        if self.flow_active and self.app.flow_control.is_active():
            # No flow is suspended, so the delivery need not be cancellable.
            await self.callback(message)
        else:
            await self.wait_first(self.callback(message), self.suspend_flow.wait())
        self._read_offset[tp] = message.offset


def use_direct_consumer(
    app: faust.App, *, records_max: int, wanted: asyncio.Event, read_leniently: LenientRead
) -> None:
    """Make an application use `DirectConsumer`. Call it before the application starts.

    Args:
        app: its agents find the records in ``event.message.records``.
        records_max: most records of one message.
        wanted: set while records are wanted; the consumer does not fetch otherwise.
        read_leniently: reads records that aiokafka cannot decode; called in a thread.
    """

    class ConsumerOfApp(DirectConsumer):
        pass

    ConsumerOfApp.records_max = records_max
    ConsumerOfApp.wanted = wanted
    ConsumerOfApp.read_leniently = read_leniently
    app.transport.Consumer = ConsumerOfApp  # type: ignore[misc] # a class variable of one app
