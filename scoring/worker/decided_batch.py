"""The new decisions of one batch: decided, what is kept of each, and encoded at the end.

The engine decides on the rows that it has read, if the model can score them so; all others are
decided one object at a time (`scoring.core.decide`). Both give the same bytes. Knows the core
only. `BatchScorer` calls it.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace
from itertools import chain, count
from typing import Generic, NamedTuple, TypeAlias, TypeVar, cast

from features.online.batch_values import BatchValues
from models.encoding.vector import VectorSpec
from models.model import Model
from models.policy import Policy
from schemas.decision import Decision, ModelRef, Outcome, PolicyRef
from schemas.output_codec import encode_decision
from scoring.core.arms import fields_of_arm
from scoring.core.decide import (
    DEGRADED_DECISION_STORE_UNAVAILABLE,
    decide_many,
    for_log,
    known_or_null,
)
from scoring.core.first_decision import (
    DecisionContext,
    FirstDecision,
    KeptBatch,
    context_digest,
)
from scoring.core.read_decisions import NOTHING_MORE, ReadDecisions, decide_read, more_fields
from scoring.core.timed_model import TimedModel
from scoring.worker.arm_use import ArmUse, draw_in_arm, in_arm_of
from scoring.worker.feature_log import ReadBatch, Scorable

_ContextKey: TypeAlias = tuple[ModelRef, bool, tuple[str, ...], PolicyRef | None]
T = TypeVar("T")


class DecidedBatch:
    """The decisions about the rows of a batch, by position among its scorable rows.

    Attributes:
        proposals: for each row the transaction's id and what is to be kept of its decision.
        contexts: the contexts that any of it names, by digest.
        now_ms: when the decisions were made, ms since 1970 UTC.
        outcomes: of each decision.
        scores: of each decision.
        degraded: the words of each decision, with that of `unstored`.
        unstored_kept: what `unstored` has given, by position.
    """

    def __init__(
        self,
        batch: ReadBatch,
        *,
        model: Model,
        policy: Policy,
        values: Sequence[BatchValues] | None,
        now_ms: int,
        arm: ArmUse | None = None,
    ) -> None:
        """Decide on all rows.

        Args:
            batch: the rows.
            model: to score with.
            policy: the thresholds.
            values: the batch features of each row's user; None if they could not be read.
            now_ms: the present time, ms since 1970 UTC.
            arm: of a rollout, to which all rows were assigned; None without one.

        Raises:
            ValueError: a score is not a probability.
        """
        self._model = model
        self._policy = policy
        self._known = known_or_null(model, values, count=len(batch.scorables))
        self._split = _Split(batch.scorables, has_reader=model.reader is not None)
        self._digests: dict[_ContextKey, bytes] = {}
        self._more: dict[PolicyRef | None, bytes] = {}
        self._arm = None if arm is None else arm.of
        self.now_ms = now_ms
        self.contexts: dict[bytes, bytes] = {}
        self.unstored_kept: dict[int, bytes] = {}
        timed = model if arm is None else TimedModel(model, clock_ms=arm.clock_ms)
        self._read = self._decide_read(batch, timed)
        self._others = self._decide_others(batch, timed)
        if arm is not None:
            self._arm = replace(arm.of, model_ms=round(cast(TimedModel, timed).took_ms, 3))
            rows = self._split.of(batch.scorables)
            if self._read is not None:
                draw_in_arm(arm, batch.rows, rows.read, self._read)
            self._others = in_arm_of(arm, self._arm, rows.others, self._others)
        self._collect(batch.scorables)

    def _decide_read(self, batch: ReadBatch, model: Model) -> ReadDecisions | None:
        reader = model.reader
        rows = self._split.of(batch.scorables).read
        if reader is None or not rows:
            return None
        return decide_read(
            batch.rows,
            [each.at for each in rows],
            places=[(each.record.partition, each.record.offset) for each in rows],
            model=model,
            reader=reader,
            spec=cast(VectorSpec, model.spec).digest,
            policy=self._policy,
            batch=None if self._known is None else self._split.of(self._known).read,
        )

    def _decide_others(self, batch: ReadBatch, model: Model) -> list[Decision]:
        rows = self._split.of(batch.scorables).others
        if not rows:
            return []
        return decide_many(
            [each.row for each in rows],
            model=model,
            policy=self._policy,
            features_offsets=[each.place for each in rows],
            now_ms=self.now_ms,
            batch=None if self._known is None else self._split.of(self._known).others,
        )

    def _collect(self, scorables: Sequence[Scorable]) -> None:
        merged, read, others = self._split.merged, self._read, self._others
        self.outcomes: list[Outcome] = merged(
            [] if read is None else read.outcomes, [each.decision for each in others]
        )
        self.scores: list[float] = merged(
            [] if read is None else read.scores, [each.score for each in others]
        )
        self.degraded: list[tuple[str, ...]] = merged(
            [] if read is None else read.degraded, [each.degraded for each in others]
        )
        of_others = [
            self._first(decision, decision.degraded, at).pack()
            for at, decision in zip(self._split.others, others, strict=True)
        ]
        kept = merged(self._kept_of_read(), of_others)
        ids = [each.transaction_id for each in scorables]
        self.proposals: list[tuple[bytes, bytes]] = list(zip(ids, kept, strict=True))

    def unstored(self, at: int) -> bytes:
        """Give what is to be kept of a decision that the store could not take."""
        if at in self.unstored_kept:
            return self.unstored_kept[at]
        self.degraded[at] = words = (*self.degraded[at], DEGRADED_DECISION_STORE_UNAVAILABLE)
        decision = self._other(at)
        if decision is not None:
            kept = self._first(decision, words, at).pack()
        else:
            read, number = self._of_read(at)
            context = self._context(self._model.ref, words, read.drawn.get(number), has_spec=True)
            (kept,) = read.kept([number], context, now_ms=self.now_ms)
        self.unstored_kept[at] = kept
        return kept

    def encode(self, at: int) -> bytes:
        """Write a decision, after it was kept."""
        return self.encode_many([at])[0]

    def encode_many(self, positions: Sequence[int]) -> list[bytes]:
        """Write decisions, after they were kept, in the order of the positions."""
        if not self._split.others and self._read is not None:
            return self._encode_read(positions)
        read = [at for at in positions if self._other(at) is None]
        written = dict(zip(read, self._encode_read(read), strict=True))
        for at in positions:
            decision = self._other(at)
            if decision is not None:
                written[at] = encode_decision(for_log(decision, degraded=self.degraded[at]))
        return [written[at] for at in positions]

    def _encode_read(self, positions: Sequence[int]) -> list[bytes]:
        if not positions or self._read is None:
            return []
        return self._read.encode(
            [self._split.number[at] for at in positions],
            now_ms=self.now_ms,
            degraded=[self.degraded[at] for at in positions] if self.unstored_kept else None,
            more=self._more_fields,
        )

    def _more_fields(self, policy: PolicyRef | None) -> bytes:
        if self._arm is None:
            return NOTHING_MORE
        if policy not in self._more:
            self._more[policy] = more_fields(**fields_of_arm(self._arm, policy))
        return self._more[policy]

    def _other(self, at: int) -> Decision | None:
        """Give the decision about a row that was decoded."""
        number = self._split.number[at]
        return None if at in self._split.is_read else self._others[number]

    def _of_read(self, at: int) -> tuple[ReadDecisions, int]:
        assert self._read is not None
        return self._read, self._split.number[at]

    def _kept_of_read(self) -> list[bytes]:
        read = self._read
        if read is None:
            return []
        kept: dict[int, bytes] = {}
        for words, policy, group in read.alike(range(len(read.scores))):
            context = self._context(self._model.ref, words, policy, has_spec=True)
            found = read.kept(group, context, now_ms=self.now_ms)
            if len(group) == len(read.scores):
                return found
            kept.update(zip(group, found, strict=True))
        return [kept[number] for number in range(len(read.scores))]

    def _first(self, decided: Decision, degraded: tuple[str, ...], at: int) -> FirstDecision:
        has_spec = decided.vector_spec is not None
        batch = None
        known = None if self._known is None else self._known[at]
        if has_spec and known is not None and known.as_of_ms is not None:
            values = [known.features[name] for name in self._model.batch_columns]
            batch = KeptBatch(known.as_of_ms, values)
        return FirstDecision(
            decided.score,
            self._context(decided.model, degraded, decided.policy, has_spec=has_spec),
            decided.decision,
            decided.features_offset,
            self.now_ms,
            batch,
        )

    def _context(
        self,
        ref: ModelRef,
        degraded: tuple[str, ...],
        drawn: PolicyRef | None,
        *,
        has_spec: bool,
    ) -> bytes:
        key = (ref, has_spec, degraded, drawn)
        digest = self._digests.get(key)
        if digest is None:
            spec = self._model.spec if has_spec else None
            content = DecisionContext(ref, self._policy, degraded, spec, self._arm, drawn).to_json()
            self._digests[key] = digest = context_digest(content)
            self.contexts[digest] = content
        return digest


class _Parts(NamedTuple, Generic[T]):
    """Values of the rows on which the engine decides, and of the others."""

    read: list[T]
    others: list[T]


class _Split:
    """Which rows the engine decides on.

    Attributes:
        read: their positions.
        others: the positions of the others.
        is_read: the same as ``read``, to look up.
        number: the place of each row in its list.
    """

    def __init__(self, scorables: Sequence[Scorable], *, has_reader: bool) -> None:
        """Split the rows of a batch.

        Args:
            scorables: the rows.
            has_reader: whether the model scores what the engine has read.
        """
        places = range(len(scorables))
        if has_reader and all(each.is_read for each in scorables):
            self.read: Sequence[int] = places
            self.others: Sequence[int] = ()
            self.is_read: Container[int] = places
            self.number: Sequence[int] = places
            return
        flags = [has_reader and each.is_read for each in scorables]
        self.read = [at for at in places if flags[at]]
        self.others = [at for at in places if not flags[at]]
        self.is_read = frozenset(self.read)
        numbers = dict(chain(zip(self.read, count()), zip(self.others, count())))
        self.number = [numbers[at] for at in places]

    def of(self, values: Sequence[T]) -> _Parts[T]:
        """Split values of all rows."""
        return _Parts([values[at] for at in self.read], [values[at] for at in self.others])

    def merged(self, read: list[T], others: list[T]) -> list[T]:
        """Put the values of all rows into their order. A list of its own, to change."""
        if not self.others:
            return [*read]
        return [
            (read if at in self.is_read else others)[number]
            for at, number in enumerate(self.number)
        ]
