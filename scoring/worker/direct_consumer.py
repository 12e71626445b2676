"""A Kafka consumer for Faust that delivers the records of a fetch as one message.

Faust's own consumer makes a message and an event of each record, starts four asyncio tasks to be
able to stop at a rebalance, and acknowledges each record: 133 us of CPU an event. Here a message
holds all records of one fetch and partition, at most ``records_max``, so this work is done once for
many records; and no task is started while no flow is suspended. The records come from
``record_fetcher.py``; aiokafka's partitions are paused, so it fetches nothing itself. The rest is
Faust's: aiokafka is the member of the group and commits, the stream drops messages of an older
generation, a rebalance and a stop wait for unacknowledged messages, and commits follow
acknowledgements. Used by ``app.py``; knows nothing of scoring.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import faust
from faust.transport.drivers.aiokafka import (
    AIOKafkaConsumerThread,
    Consumer,
    ensure_aiokafka_TP,
)
from faust.types import TP, ConsumerMessage
from mode.utils.futures import notify

from scoring.worker.feature_log import Record
from scoring.worker.record_fetcher import RecordFetcher

logger = logging.getLogger(__name__)

_WAIT_S = 1.0
"""Longest wait for records before checking whether to stop, s; the same as Faust's."""
_UNACKED_CHECK_S = 0.01
_NO_TIMESTAMP = 0
"""Faust's field for the kind of a timestamp, which nothing reads."""


class Fetched(ConsumerMessage):
    """Records of one partition as one Faust message, acknowledged together.

    Attributes:
        records: in log order, at least one. The message's own ``value`` and ``key`` stay empty.
        first_offset: the offset after the previous message. It is lower than the offset of the
            first record if offsets are missing from the log; those are acknowledged with it.
    """

    __slots__ = ("first_offset", "records")

    def __init__(
        self, tp: TP, records: Sequence[Record], *, first_offset: int, generation_id: int
    ) -> None:
        last = records[-1]
        super().__init__(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp_ms / 1_000,
            _NO_TIMESTAMP,
            None,
            None,
            b"",
            None,
            tp=tp,
            generation_id=generation_id,
        )
        self.records = records
        self.first_offset = first_offset


class PausedThread(AIOKafkaConsumerThread):
    """Faust's consumer thread, whose client fetches nothing.

    aiokafka joins the group, sends heartbeats, commits, and knows the committed offsets.
    """

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Pause new partitions before the client fetches from them; then as Faust does."""
        self._ensure_consumer().pause(*map(ensure_aiokafka_TP, assigned))
        await super().on_partitions_assigned(assigned, generation_id)


class DirectConsumer(Consumer):
    """Takes records only when they are wanted, and delivers those of a partition together.

    A delivery waits when the agent's queue is full. It ends when the agent takes events, which
    continues during a rebalance, or it is cancelled when Faust stops fetching. A message that is
    delivered after a rebalance carries its old generation, so the stream drops it.
    """

    records_max: int
    wanted: asyncio.Event
    bootstrap: str
    fetcher: RecordFetcher

    async def on_start(self) -> None:
        """Make the fetcher."""
        await super().on_start()
        self.fetcher = RecordFetcher(self.bootstrap, records_max=self.records_max)

    async def on_stop(self) -> None:
        """Stop as Faust does, then the fetcher."""
        await super().on_stop()
        await self.fetcher.close()

    def _new_consumer_thread(self) -> PausedThread:
        return PausedThread(self, loop=self.loop, beacon=self.beacon)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Continue each partition at its committed offset; Faust does so after each rebalance."""
        committed = await super().seek_to_committed()
        await self.fetcher.start_at({place: offset or None for place, offset in committed.items()})
        return committed

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Check nothing: Faust looks at the fetches of aiokafka, which makes none.

        ``watchdog.py`` ends a worker that makes no progress.
        """

    async def _getmany(
        self,
        active_partitions: set[TP] | None,  # noqa: ARG002 - named by Faust
        timeout: float,
    ) -> dict[TP, list[Record]]:
        if not self.flow_active:
            return {}
        # aiokafka leaves the group if it has fetched nothing for a long time.
        with self._thread._ensure_consumer()._subscription.fetch_context():  # noqa: SLF001
            records = await self.fetcher.next_records(timeout)
        found: dict[TP, list[Record]] = defaultdict(list)
        for record in records:
            found[TP(record.topic, record.partition)].append(record)
        return found

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
        fetched, active = await self._wait_next_records(_WAIT_S)
        generation_id = self.app.consumer_generation_id
        if fetched is None or self.should_stop:
            return
        deliverable = self._buffered_partitions.union(fetched if active is None else active)
        if not (self.flow_active and deliverable.issuperset(fetched)):
            # The fetched records are dropped; fetch them again when the flow resumes.
            await self.perform_seek()
            return
        for tp, records in fetched.items():
            for start in range(0, len(records), self.records_max):
                # Both may change during a delivery.
                events_flow: bool = self.flow_active
                if not events_flow or self.app.consumer_generation_id != generation_id:
                    return
                part = records[start : start + self.records_max]
                await self._deliver(tp, part, generation_id=generation_id)

    async def _deliver(self, tp: TP, records: Sequence[Record], *, generation_id: int) -> None:
        first_offset = records[0].offset
        read = self._read_offset[tp]
        if read is not None and first_offset < read:
            await self._begin_again(tp, first_offset)
        elif read is not None:
            first_offset = min(first_offset, read + 1)
        message = Fetched(tp, records, first_offset=first_offset, generation_id=generation_id)
        if self.flow_active and self.app.flow_control.is_active():
            # No flow is suspended, so the delivery need not be cancellable.
            await self.callback(message)
        else:
            await self.wait_first(self.callback(message), self.suspend_flow.wait())
        self._read_offset[tp] = message.offset

    async def _begin_again(self, tp: TP, offset: int) -> None:
        """Forget what was acknowledged of a log that does not have those offsets any more."""
        logger.warning(
            "%s partition %d does not have offset %s; continuing at %d: was it created again?",
            *(tp.topic, tp.partition, self._read_offset[tp], offset),
        )
        # An offset that is acknowledged later would count for the new log.
        while any(message.tp == tp for message in self._unacked_messages):
            await asyncio.sleep(_UNACKED_CHECK_S)
        self._committed_offset[tp] = None
        self._acked[tp].clear()
        self._acked_index[tp].clear()


def use_direct_consumer(
    app: faust.App, *, records_max: int, wanted: asyncio.Event, bootstrap: str
) -> None:
    """Make an application use `DirectConsumer`. Call it before the application starts.

    Args:
        app: its agents find the records in ``event.message.records``.
        records_max: most records of one message.
        wanted: set while records are wanted; the consumer takes none otherwise.
        bootstrap: Kafka's bootstrap servers.
    """

    class ConsumerOfApp(DirectConsumer):
        pass

    ConsumerOfApp.records_max = records_max
    ConsumerOfApp.wanted = wanted
    ConsumerOfApp.bootstrap = bootstrap
    app.transport.Consumer = ConsumerOfApp  # type: ignore[misc] # a class variable of one app
