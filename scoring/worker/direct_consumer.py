"""Faust's Kafka consumer, which hands on what a fetch brought instead of one event at a time.

Faust wraps each record into a message and an event, starts four asyncio tasks to be able to give
up when a rebalance begins, and acknowledges each by itself: 133 us of CPU an event. Here all that
one fetch brought of a partition is one message, at most ``records_max`` records, so that all this
is done once for many; and while nothing is suspended, a delivery is awaited itself. What Faust
does with a message is otherwise as it was: the agent's stream drops those of an older generation,
a rebalance and a stop wait for the unacknowledged ones, commits are made of what was acknowledged.
Used by `worker`; knows nothing of scoring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import faust
from faust.transport.drivers.aiokafka import Consumer
from faust.types import TP, ConsumerMessage
from mode.utils.futures import notify

_WAIT_S = 1.0
"""Longest wait for records, s, before looking whether to stop; as Faust's."""


class Fetched(ConsumerMessage):
    """Records of one partition as one Faust message, acknowledged together.

    Attributes:
        records: aiokafka's, in log order, at least one; ``value`` and ``key`` stay empty.
        first_offset: the offset after the message before it. Earlier than the first record's
            where offsets are missing from the log: those count as acknowledged with it.
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


class DirectConsumer(Consumer):
    """Asks only when records are wanted, and delivers what a fetch brought at once.

    A delivery that has to wait after all (the agent's queue is full) ends when the agent takes
    events, which goes on during a rebalance, or is cancelled when Faust stops fetching. A message
    delivered across a rebalance carries its generation, and the stream drops it by that.
    """

    records_max: int
    wanted: asyncio.Event

    def ack(self, message: Fetched) -> bool:  # type: ignore[override] # makes all messages itself
        """Note all offsets of a message as done; Faust's commits find them there."""
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
        fetched, active = await self._wait_next_records(_WAIT_S)
        generation_id = self.app.consumer_generation_id
        if fetched is None or self.should_stop:
            return
        if not self.flow_active:
            # What was fetched is dropped: read it again when events flow.
            await self.perform_seek()
            return
        for tp, records in fetched.items():
            if active is not None and tp not in active and tp not in self._buffered_partitions:
                continue
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            for start in range(0, len(records), self.records_max):
                # Both change while a delivery is awaited.
                events_flow: bool = self.flow_active
                if not events_flow or self.app.consumer_generation_id != generation_id:
                    return
                part = records[start : start + self.records_max]
                await self._deliver(tp, part, generation_id=generation_id)

    async def _deliver(self, tp: TP, records: Sequence[Any], *, generation_id: int) -> None:
        first_offset = records[0].offset
        read = self._read_offset[tp]
        if read is not None:
            if records[-1].offset < read:
                return
            first_offset = min(first_offset, read + 1)
        message = Fetched(tp, records, first_offset=first_offset, generation_id=generation_id)
        if self.flow_active and self.app.flow_control.is_active():
            # Nothing is suspended: the delivery does not have to be given up.
            await self.callback(message)
        else:
            await self.wait_first(self.callback(message), self.suspend_flow.wait())
        self._read_offset[tp] = message.offset


def use_direct_consumer(app: faust.App, *, records_max: int, wanted: asyncio.Event) -> None:
    """Let an application that is not started yet consume by `DirectConsumer`.

    Args:
        app: whose agents find records in ``event.message.records``.
        records_max: most records of one message.
        wanted: set while records are wanted; nothing is asked for otherwise.
    """

    class ConsumerOfApp(DirectConsumer):
        pass

    ConsumerOfApp.records_max = records_max
    ConsumerOfApp.wanted = wanted
    app.transport.Consumer = ConsumerOfApp  # type: ignore[misc] # a class variable, of one app
