"""A stage of the velocity job whose journals are in memory, as its operator in Flink has them.

`JournaledStage` does for one operator what ``EngineOperator.java`` does; `InMemoryJob` chains the
operators as ``streams/velocity/job.py`` does, for one task or split by entity.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from features.engine.job import KeptStates, open_job
from features.engine.plan import ENTITIES
from features.online.layout import layout_json
from schemas.transaction import Limits
from streams.velocity import engine_frames
from streams.velocity.engine import Engine
from streams.velocity.operators import EngineStage

ONE_OPERATOR = ((0, len(ENTITIES)),)
SPLIT = ((0, 0), *((at, at + 1) for at in range(len(ENTITIES))))
"""The operators at a parallelism above 1: one decodes and routes, and each entity has one."""

FEW_KEPT = KeptStates(live_keys_max=3)


class JournaledStage:
    """One operator; a crash loses everything but its journals.

    With a Feast project its engine collects changed states for Redis.
    """

    def __init__(
        self,
        first: int,
        end: int,
        *,
        limits: Limits,
        clock_ms: Callable[[], int],
        kept: KeptStates = FEW_KEPT,
        changed_keys_max: int = 100,
        project: str | None = None,
    ) -> None:
        self.journals: dict[tuple[int, str], list[bytes]] = defaultdict(list)
        self.replaced_total = 0
        self.resumed_total = 0
        self._open_job = lambda: open_job(
            limits,
            first=first,
            end=end,
            kept=kept,
            changed_keys_max=changed_keys_max,
            layouts=[
                None if project is None else layout_json(planned.entity, project)
                for planned in ENTITIES[first:end]
            ],
        )
        self._limits = limits
        self._clock_ms = clock_ms
        self.crash()

    def crash(self) -> None:
        """Start again from the journals."""
        self.job = self._open_job()
        engine = Engine(self.job, limits=self._limits)
        self._stage = EngineStage(engine, clock_ms=self._clock_ms, writers=())

    def run(self, elements: Iterable[bytes]) -> list[tuple[str, bytes]]:
        """Process a batch; gives what is emitted, with its keys."""
        answer = self._stage.process(engine_frames.encode_batch(elements))
        while answer.startswith(engine_frames.JOURNALS_NEEDED):
            missing = engine_frames.decode_missing(answer[1:])
            journals = engine_frames.encode_journals(self.journals.get(of, []) for of in missing)
            answer = self._stage.resume(journals)
            self.resumed_total += 1
        assert answer.startswith(engine_frames.OUTCOME)
        outcome = engine_frames.decode_outcome(answer[1:])
        for change in outcome.changes:
            of_key = self.journals[change.entity, change.key]
            if change.replaces:
                of_key.clear()
                self.replaced_total += 1
            of_key.append(change.entry)
        return outcome.emitted


class InMemoryJob:
    """All operators of a job, each fed with what the one before it emits."""

    def __init__(
        self,
        *,
        limits: Limits,
        clock_ms: Callable[[], int],
        operators: Sequence[tuple[int, int]] = ONE_OPERATOR,
        kept: KeptStates = FEW_KEPT,
    ) -> None:
        self.stages = [
            JournaledStage(first, end, limits=limits, clock_ms=clock_ms, kept=kept)
            for first, end in operators
        ]

    def crash(self) -> None:
        """Lose everything but the journals."""
        for stage in self.stages:
            stage.crash()

    def run(self, frames: Sequence[bytes]) -> list[bytes]:
        """Process a batch of record frames; gives the frames of the records to produce."""
        elements: Sequence[bytes] = frames
        for stage in self.stages:
            elements = [element for _, element in stage.run(elements)]
        return list(elements)

    def snapshots(self) -> dict[tuple[int, str], bytes]:
        """The state of every key as bytes, by entity and key; for states in memory."""
        found = {}
        for stage in self.stages:
            for entity, key in stage.journals:
                snapshot = stage.job.snapshot(entity, key)
                assert snapshot is not None
                found[entity, key] = snapshot
        return found
