"""The two stages as the Flink operators call them: live objects here, the journal in the JVM.

Holds state and decides nothing; what happens to a record is in ``stages.py``. Runs inside the
TaskManager: ``streams/jvm/weir/PythonFold.java`` opens a stage in its task's thread and calls it
for every element. `velocity_job.py` puts the operators into the graph.
"""

import gc
import sys
import time

from features.definitions import Entity
from schemas.settings import Settings
from schemas.transaction import Limits
from streams.velocity.journal import JournalStore
from streams.velocity.redis_sink import open_sink
from streams.velocity.stages import MerchantStage, UserStage

_LIVE_KEYS_MAX = 200_000
"""States in memory for each operator; some 2 kB each for a user of 80 events."""
_REDIS_S_MAX = 1.0
"""How long the sink's thread waits for Redis; no decision waits for it."""
_SWITCH_S = 0.000_5
"""How long a thread keeps the interpreter from the others: the default, 5 ms, is a decision's
whole time budget, and the sink's threads work while events wait."""
_GC_THRESHOLDS = (20_000, 20, 1_000_000)
"""Collections of young objects only. The states are a million objects without cycles; looking
through all of them stops every decision for as long as it takes."""
_STAGES: dict[Entity, type[UserStage] | type[MerchantStage]] = {
    "user": UserStage,
    "merchant": MerchantStage,
}


class StageOperator:
    """A stage with its journal and its sink beside it.

    **Delivery:** at least once; state and Kafka offsets are of the same checkpoint, so a repeat
    after a failure folds into the state it met the first time and gives the same values.
    **Blocks:** no. **On failure:** raises, and the job restarts from the last checkpoint.

    Args:
        entity: whose states.
        settings: of the deployment.
        journal: of the key that is being processed, whichever it is.
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
        """Called for each element; what comes back is emitted."""
        return self._stage.process(frame, self._journal)

    def close(self) -> None:
        """Called when the task ends."""
        self._sink.close()


def open_stage(entity: Entity, settings: str, journal: JournalStore) -> StageOperator:
    """Make the operator of an entity; called once by each task, in its thread.

    Args:
        entity: ``user`` or ``merchant``.
        settings: of the deployment, as JSON.
        journal: the JVM's object.
    """
    sys.setswitchinterval(_SWITCH_S)
    gc.set_threshold(*_GC_THRESHOLDS)
    return StageOperator(entity, Settings.model_validate_json(settings), journal)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
