"""The two stages as Flink operators: durable journal in list state, live objects beside it.

Holds state and decides nothing; what happens to a record is in ``stages.py``. Runs inside the
TaskManager, in Flink's thread mode; `velocity_job.py` puts the operators into the graph.
"""

import time
from collections.abc import Iterator
from typing import Any

import redis
from pyflink.common.typeinfo import Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor

from schemas.settings import Settings
from schemas.transaction import Limits
from streams.redis_sink import OnlineSink
from streams.stages import MerchantStage, StageSettings, UserStage

_LIVE_KEYS_MAX = 200_000


class ListStateJournal:
    """``journal.JournalStore`` on Flink's list state of the current key."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def read(self) -> list[str]:
        """See ``JournalStore.read``."""
        return list(self._state.get() or ())

    def append(self, entry: str) -> None:
        """See ``JournalStore.append``."""
        self._state.add(entry)

    def replace(self, entries: list[str]) -> None:
        """See ``JournalStore.replace``."""
        self._state.update(entries)


class UserVelocity(KeyedProcessFunction):  # type: ignore[misc]  # pyflink is untyped
    """Keyed by user: record text of ``transactions`` in, merchant key and unfinished row out.

    **Delivery:** at least once; state and Kafka offsets are of the same checkpoint, so a repeat
    after a failure folds into the state it met the first time and gives the same values.
    **Blocks:** no. **On failure:** raises, and the job restarts from the last checkpoint.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def open(self, runtime_context: RuntimeContext) -> None:
        """Called by Flink in the task's thread before the first element."""
        self._journal = _journal(runtime_context, "user-journal")
        self._sink = _sink("user", self._settings, lambda: self._stage.states.items())
        self._stage = UserStage(_stage_settings(self._settings), clock_ms=_now_ms, sink=self._sink)
        self._sink.start()

    def process_element(self, value: str, ctx: Any) -> Iterator[str]:
        """Called by Flink for each record."""
        return self._stage.process(value, self._journal)

    def close(self) -> None:
        """Called by Flink when the task ends."""
        self._sink.close()


class MerchantVelocity(KeyedProcessFunction):  # type: ignore[misc]  # pyflink is untyped
    """Keyed by merchant: unfinished rows, dead letters and labels in, records to produce out.

    Delivery, blocking and failure are those of :class:`UserVelocity`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def open(self, runtime_context: RuntimeContext) -> None:
        """Called by Flink in the task's thread before the first element."""
        self._journal = _journal(runtime_context, "merchant-journal")
        self._sink = _sink("merchant", self._settings, lambda: self._stage.states.items())
        self._stage = MerchantStage(
            _stage_settings(self._settings), clock_ms=_now_ms, sink=self._sink
        )
        self._sink.start()

    def process_element(self, value: str, ctx: Any) -> Iterator[str]:
        """Called by Flink for each element."""
        return self._stage.process(value, self._journal)

    def close(self) -> None:
        """Called by Flink when the task ends."""
        self._sink.close()


def _journal(runtime_context: RuntimeContext, name: str) -> ListStateJournal:
    return ListStateJournal(
        runtime_context.get_list_state(ListStateDescriptor(name, Types.STRING()))
    )


def _stage_settings(settings: Settings) -> StageSettings:
    return StageSettings(limits=Limits.from_settings(settings), live_keys_max=_LIVE_KEYS_MAX)


def _sink(entity: Any, settings: Settings, resync: Any) -> OnlineSink:
    def connect() -> redis.Redis:
        return redis.Redis.from_url(
            settings.redis_url, socket_timeout=1.0, socket_connect_timeout=1.0
        )

    return OnlineSink(
        entity,
        connect=connect,
        project=settings.feast_project,
        flush_ms=settings.online_flush_ms,
        keys_max=settings.online_buffer_keys_max,
        resync=resync,
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
