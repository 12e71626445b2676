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

from features.definitions import Entity
from schemas.settings import Settings
from schemas.transaction import Limits
from streams.redis_sink import OnlineSink
from streams.stages import MerchantStage, UserStage

_LIVE_KEYS_MAX = 200_000
"""States in memory for each operator; some 2 kB each for a user of 80 events."""
_REDIS_S_MAX = 1.0
"""How long the sink's thread waits for Redis; no decision waits for it."""


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


class _StageOperator(KeyedProcessFunction):
    """A stage with its journal in list state and its sink beside it.

    **Delivery:** at least once; state and Kafka offsets are of the same checkpoint, so a repeat
    after a failure folds into the state it met the first time and gives the same values.
    **Blocks:** no. **On failure:** raises, and the job restarts from the last checkpoint.
    """

    entity: Entity
    stage_type: type[UserStage] | type[MerchantStage]

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def open(self, runtime_context: RuntimeContext) -> None:
        """Called by Flink in the task's thread before the first element."""
        descriptor = ListStateDescriptor(f"{self.entity}-journal", Types.STRING())
        self._journal = ListStateJournal(runtime_context.get_list_state(descriptor))
        self._sink = _sink(self.entity, self._settings)
        self._stage = self.stage_type(
            limits=Limits.from_settings(self._settings),
            live_keys_max=_LIVE_KEYS_MAX,
            clock_ms=_now_ms,
            sink=self._sink,
        )
        self._sink.start(resync=self._stage.states.items)

    def process_element(self, value: str, ctx: Any) -> Iterator[str]:  # noqa: ARG002  # Flink's
        """Called by Flink for each element."""
        return self._stage.process(value, self._journal)

    def close(self) -> None:
        """Called by Flink when the task ends."""
        self._sink.close()


class UserVelocity(_StageOperator):
    """Keyed by user: record text of ``transactions`` in, merchant key and unfinished row out."""

    entity = "user"
    stage_type = UserStage


class MerchantVelocity(_StageOperator):
    """Keyed by merchant: unfinished rows, dead letters and labels in, records to produce out."""

    entity = "merchant"
    stage_type = MerchantStage


def _sink(entity: Entity, settings: Settings) -> OnlineSink:
    def connect() -> redis.Redis:
        return redis.Redis.from_url(
            settings.redis_url, socket_timeout=_REDIS_S_MAX, socket_connect_timeout=_REDIS_S_MAX
        )

    return OnlineSink(
        entity,
        connect=connect,
        project=settings.feast_project,
        flush_ms=settings.online_flush_ms,
        keys_max=settings.online_buffer_keys_max,
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
