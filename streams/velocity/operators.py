"""Opens the engine for an operator of the velocity job, with its clock and its writers to Redis.

Decides nothing about a record; ``engine.py`` computes. Runs inside the TaskManager:
``streams/jvm/weir/EngineOperator.java`` opens a stage in the thread of its task and calls it once
for a batch, and again for each round of journals that have to be read. ``job.py`` puts the
operators into the graph.
"""

import sys
import time
from collections.abc import Callable, Sequence

from features.definitions import DEFINITION_DIGEST
from features.engine.job import Job, KeptStates, open_job
from features.engine.plan import ENTITIES
from features.online.layout import layout_json
from schemas.errors import WeirError
from schemas.settings import Settings
from schemas.transaction import Limits
from streams.velocity.cluster import engine_operators
from streams.velocity.engine import Engine
from streams.velocity.engine_frames import JOURNALS_NEEDED, OUTCOME
from streams.velocity.online_writer import OnlineWriter, open_writer

_MIB = 1024 * 1024
_REDIS_S_MAX = 1.0
"""How long a writer waits for Redis, s; no decision waits for it."""
_THREAD_SWITCH_S = 0.000_5
"""How long a thread may hold the interpreter while another thread waits for it, s. The engine gives
the interpreter away and takes it back for every batch; with the default of 5 ms it could wait that
long for a writer's thread. The states are outside of the interpreter, so its garbage collector has
nothing to scan and keeps its defaults."""


class OtherDefinitionsRunningError(WeirError):
    """The TaskManager has loaded other definitions than the job is for; restart it."""


class EngineStage:
    """An engine, its clock and its writers.

    **Delivery:** at least once. State and Kafka offsets come from the same checkpoint, so an event
    that is read again after a failure meets the same state and gives the same values.
    **Blocks:** no. **On failure:** raises, and the job restarts from the last checkpoint.

    Args:
        engine: the engine.
        clock_ms: the wall clock, ms since 1970 UTC.
        writers: write the changed states to Redis; started here.
    """

    def __init__(
        self, engine: Engine, *, clock_ms: Callable[[], int], writers: Sequence[OnlineWriter]
    ) -> None:
        self._engine = engine
        self._clock_ms = clock_ms
        self._writers = writers
        for writer in writers:
            writer.start()

    def process(self, batch: bytes) -> bytes:
        """Compute a batch, or say which journals it needs; see ``engine_frames``."""
        return self._finish_without(self._engine.begin(batch, now_ms=self._clock_ms()))

    def resume(self, journals: bytes) -> bytes:
        """Compute the batch that waited for these journals, or say which further ones it needs."""
        return self._finish_without(self._engine.restore(journals))

    def rewrite_wishes(self) -> bytes:
        """Say which stored journals the writers need; see ``online_rewrite``."""
        return b"".join(writer.rewrite.wish() for writer in self._writers)

    def rewrite(self, entity: int, stored: bytes, is_end: int) -> None:
        """Take stored journals of an entity for Redis.

        Args:
            entity: position of the entity.
            stored: each key, then its journal, both behind their length.
            is_end: 1 with the last ones, else 0.
        """
        for writer in self._writers:
            if writer.position == entity:
                writer.rewrite.take(stored, is_end=bool(is_end))

    def close(self) -> None:
        """Stop the writers; the operator calls this when its task ends."""
        for writer in self._writers:
            writer.close()

    def _finish_without(self, missing: bytes) -> bytes:
        if missing:
            return JOURNALS_NEEDED + missing
        return OUTCOME + self._engine.finish(now_ms=self._clock_ms())


def open_stage(
    settings: str, definition_digest: str, first: int, end: int, subtask: int
) -> EngineStage:
    """Open the engine for some of the entities; each task calls this once, in its thread.

    Args:
        settings: of the deployment, as JSON.
        definition_digest: digest of the definitions that the job was submitted with.
        first: position of the first entity.
        end: position after the last entity.
        subtask: number of the operator's subtask.

    Raises:
        OtherDefinitionsRunningError: this process has loaded other definitions.
        EngineVersionError: this process has loaded another version of the engine.
    """
    check_digest(definition_digest)
    sys.setswitchinterval(_THREAD_SWITCH_S)
    parsed = Settings.model_validate_json(settings)
    limits = Limits.from_settings(parsed)
    keys_max = parsed.online_buffer_keys_max
    job = open_entities(
        limits, parsed, first, end, changed_keys_max=keys_max, kept=kept_states(parsed)
    )
    writers = [
        open_writer(
            job, position, parsed, keys_max=keys_max, redis_s_max=_REDIS_S_MAX, subtask=subtask
        )
        for position in range(first, end)
    ]
    return EngineStage(Engine(job, limits=limits), clock_ms=_now_ms, writers=writers)


def open_entities(
    limits: Limits,
    settings: Settings,
    first: int,
    end: int,
    *,
    changed_keys_max: int,
    kept: KeptStates,
) -> Job:
    """Open the native engine for some entities whose changed states go to Redis; see `open_job`."""
    return open_job(
        limits,
        first=first,
        end=end,
        changed_keys_max=changed_keys_max,
        layouts=[
            layout_json(planned.entity, settings.feast_project) for planned in ENTITIES[first:end]
        ],
        kept=kept,
    )


def kept_states(settings: Settings) -> KeptStates:
    """Give the share of one task: each task with states has as much memory.

    A packed state takes a fifth to a twentieth of a live one, so a quarter of the memory holds two
    to six times as many packed states as there are live ones in the rest.
    """
    tasks = settings.flink_parallelism * len(engine_operators(settings))
    quarter = settings.states_mib_max * _MIB // tasks // 4
    return KeptStates(live_bytes_max=3 * quarter, packed_bytes_max=quarter)


def check_digest(definition_digest: str) -> None:
    """Refuse to compute by other definitions than the job was submitted with.

    Raises:
        OtherDefinitionsRunningError: this process has loaded other definitions.
    """
    if definition_digest != DEFINITION_DIGEST:
        raise OtherDefinitionsRunningError(
            f"the TaskManager has loaded definitions {DEFINITION_DIGEST}, the job is for "
            f"{definition_digest}; restart it: `weir down`, `weir up`"
        )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
