"""One operator of a job on the native engine, with any plan; its journals are in memory.

`tests/journaled_stage.py` opens operators as production does. This one takes the plan and the
description of the records as an argument: small caps, other entities.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict

import weir_engine

from features.engine.job import KeptStates
from schemas.transaction import Limits
from streams.velocity import engine_frames
from streams.velocity.engine import Engine


class NativeOperator:
    """Folds the entities from ``first`` up to, not including, ``end``."""

    def __init__(
        self,
        plan: str,
        wire: str,
        *,
        first: int,
        end: int,
        limits: Limits,
        now_ms: int,
        kept: KeptStates,
    ) -> None:
        self.journals: dict[tuple[int, str], list[bytes]] = defaultdict(list)
        self._limits = limits
        self._now_ms = now_ms
        self._plan, self._wire = plan, wire
        self._entities = (first, end)
        self._kept = kept
        self.crash()

    def crash(self) -> None:
        """Lose everything but the journals."""
        self._engine = Engine(self._open(*self._entities), limits=self._limits)

    def _open(self, first: int, end: int) -> weir_engine.Job:
        return weir_engine.Job(
            self._plan,
            self._wire,
            first=first,
            end=end,
            **asdict(self._kept),
            changed_keys_max=1,
            layouts=[None] * (end - first),
        )

    def run(self, elements: Iterable[bytes]) -> list[bytes]:
        """Process a batch; gives what is emitted."""
        batch = engine_frames.encode_batch(elements)
        missing = self._engine.begin(batch, now_ms=self._now_ms)
        while missing:
            wanted = engine_frames.decode_missing(missing)
            journals = [self.journals.get(of, []) for of in wanted]
            missing = self._engine.restore(engine_frames.encode_journals(journals))
        outcome = engine_frames.decode_outcome(self._engine.finish(now_ms=self._now_ms))
        for change in outcome.changes:
            journal = self.journals[change.entity, change.key]
            if change.replaces:
                journal.clear()
            journal.append(change.entry)
        return [element for _, element in outcome.emitted]

    def restored(self, entity: int, key: str, *, event: bytes) -> bytes:
        """The bytes of a key's state, restored from its journal.

        Args:
            entity: position of the entity.
            key: the key.
            event: a record of this key; the engine asks for the journal, and it is not folded.
        """
        job = self._open(entity, entity + 1)
        engine = Engine(job, limits=self._limits)
        assert engine_frames.decode_missing(
            engine.begin(engine_frames.encode_batch([event]), now_ms=self._now_ms)
        ) == [(entity, key)]
        assert not engine.restore(engine_frames.encode_journals([self.journals[entity, key]]))
        snapshot = job.snapshot(entity, key)
        assert snapshot is not None
        return snapshot[1:]


def run_all(operators: Sequence[NativeOperator], frames: Sequence[bytes]) -> list[bytes]:
    """Process a batch by all operators of a job; gives the frames of the records to produce."""
    elements = list(frames)
    for operator in operators:
        elements = operator.run(elements)
    return elements
