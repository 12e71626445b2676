"""Opens a stage for a Flink task, with its journal in the JVM and its sink to Redis.

Decides nothing about a record; ``user_stage.py`` and ``merchant_stage.py`` do. Runs inside the
TaskManager: ``streams/jvm/weir/PythonFold.java`` opens a stage in the thread of its task and calls
it for every element. ``job.py`` puts the operators into the graph.
"""

import gc
import sys
import time

from features.definitions import Entity
from schemas.settings import Settings
from schemas.transaction import Limits
from streams.velocity.journal import JournalStore
from streams.velocity.merchant_stage import MerchantStage
from streams.velocity.redis_sink import open_sink
from streams.velocity.user_stage import UserStage

_LIVE_KEYS_MAX = 200_000
"""States in memory for each operator; about 2 kB each for a user with 80 events."""
_REDIS_S_MAX = 1.0
"""How long the sink's thread waits for Redis, s; no decision waits for it."""
_THREAD_SWITCH_S = 0.000_5
"""How long a thread may hold the interpreter lock while another thread waits, s. The default is
5 ms: the sink's threads would delay an event by that much."""
_GC_THRESHOLDS = (20_000, 20, 1_000_000)
"""Collect young objects only. The states are a million objects without cycles; a full collection
would stop the job while it scans them."""
_STAGES: dict[Entity, type[UserStage] | type[MerchantStage]] = {
    "user": UserStage,
    "merchant": MerchantStage,
}


class StageOperator:
    """A stage, its journal and its sink.

    **Delivery:** at least once. State and Kafka offsets come from the same checkpoint, so an event
    that is read again after a failure meets the same state and gives the same values.
    **Blocks:** no. **On failure:** raises, and the job restarts from the last checkpoint.

    Args:
        entity: the entity whose states the stage keeps.
        settings: of the deployment.
        journal: the journal of the current key.
    """

    def __init__(self, entity: Entity, settings: Settings, journal: JournalStore) -> None:
        self._journal = journal
        self._sink = open_sink(entity, settings, redis_s_max=_REDIS_S_MAX)
        self._stage = _STAGES[entity](
            limits=Limits.from_settings(settings),
            live_keys_max=_LIVE_KEYS_MAX,
            clock_ms=_now_ms,
            sink=self._sink,
        )
        self._sink.start(resync=self._stage.states.items)

    def process(self, frame: bytes) -> bytes | None:
        """Process one element; the operator emits the result if it is not None."""
        return self._stage.process(frame, self._journal)

    def close(self) -> None:
        """Stop the sink; the operator calls this when its task ends."""
        self._sink.close()


def open_stage(entity: Entity, settings: str, journal: JournalStore) -> StageOperator:
    """Open the stage of an entity; each task calls this once, in its thread.

    Args:
        entity: ``user`` or ``merchant``.
        settings: of the deployment, as JSON.
        journal: the object of ``Journal.java``.
    """
    sys.setswitchinterval(_THREAD_SWITCH_S)
    gc.set_threshold(*_GC_THRESHOLDS)
    return StageOperator(entity, Settings.model_validate_json(settings), journal)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
