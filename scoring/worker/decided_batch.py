"""The new decisions of one batch: decided, what is kept of each, and encoded at the end.

Rows that the engine has read are decided without decoding them if the model can do so; all others
are decided one object at a time (`scoring.core.decide`). Both give the same bytes. Knows the core
only. `BatchScorer` calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TypeAlias, cast

from features.definitions import DEFINITION_DIGEST
from features.online.batch_values import BatchValues
from models.encoding.vector import VectorSpec
from models.model import Model
from models.policy import Policy
from schemas.decision import Decision, ModelRef, Outcome, PolicyRef
from schemas.output_codec import encode_decision
from scoring.core.arms import ArmOfRows, fields_of_arm
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
from scoring.core.read_decisions import (
    NOTHING_MORE,
    ReadDecision,
    decide_read,
    encode_read,
    more_fields,
    read_form,
)
from scoring.core.timed_model import TimedModel
from scoring.worker.arm_use import ArmUse, Decided, applied
from scoring.worker.feature_log import ReadBatch

_ContextKey: TypeAlias = tuple[ModelRef, bool, tuple[str, ...], PolicyRef | None]


class DecidedBatch:
    """The decisions about the rows of a batch, by position among its scorable rows.

    Attributes:
        proposals: for each row the transaction's id and what is to be kept of its decision.
        contexts: the contexts that any of it names, by digest.
        now_ms: when the decisions were made, ms since 1970 UTC.
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
        self.now_ms = now_ms
        self._digests: dict[_ContextKey, bytes] = {}
        self._read_contexts: dict[tuple[tuple[str, ...], PolicyRef | None], bytes] = {}
        self._more: dict[PolicyRef | None, bytes] = {}
        self._unstored: dict[int, bytes] = {}
        self.contexts: dict[bytes, bytes] = {}
        known = known_or_null(model, values, count=len(batch.scorables))
        self._arm = None if arm is None else arm.of
        if arm is None:
            self._decided = _decide(batch, model, policy, known, now_ms)
        else:
            timed = TimedModel(model, clock_ms=arm.clock_ms)
            decided = _decide(batch, timed, policy, known, now_ms)
            self._arm = replace(arm.of, model_ms=round(timed.took_ms, 3))
            self._decided = applied(arm, self._arm, batch.scorables, decided)
        self.proposals = [
            (scorable.transaction_id, self._first(decided, decided.degraded, known, at).pack())
            for at, (scorable, decided) in enumerate(
                zip(batch.scorables, self._decided, strict=True)
            )
        ]
        self._known = known

    def unstored(self, at: int) -> bytes:
        """Give what is to be kept of a decision that the store could not take."""
        decided = self._decided[at]
        degraded = (*decided.degraded, DEGRADED_DECISION_STORE_UNAVAILABLE)
        self._unstored[at] = packed = self._first(decided, degraded, self._known, at).pack()
        return packed

    def is_new(self, at: int, kept: bytes) -> bool:
        """Whether what stands for a row is this batch's own decision about it."""
        return kept is self.proposals[at][1] or kept is self._unstored.get(at)

    def outcome(self, at: int) -> Outcome:
        """Give the outcome of a decision."""
        decided = self._decided[at]
        return decided.decision if isinstance(decided, Decision) else decided.outcome

    def score(self, at: int) -> float:
        """Give the score of a decision."""
        return self._decided[at].score

    def degraded(self, at: int) -> tuple[str, ...]:
        """Give the words of a decision, after it was kept."""
        words = self._decided[at].degraded
        return (*words, DEGRADED_DECISION_STORE_UNAVAILABLE) if at in self._unstored else words

    def encode(self, at: int) -> bytes:
        """Write a decision, after it was kept."""
        decided, degraded = self._decided[at], self.degraded(at)
        if isinstance(decided, Decision):
            return encode_decision(for_log(decided, degraded=degraded))
        more = NOTHING_MORE if self._arm is None else self._more_fields(self._arm, decided.policy)
        return encode_read(decided, self._form, degraded=degraded, more=more)

    @cached_property
    def _form(self) -> bytes:
        return read_form(
            model=self._model.ref,
            vector_spec=cast(VectorSpec, self._model.spec).digest,
            definition_digest=DEFINITION_DIGEST,
            now_ms=self.now_ms,
        )

    def _more_fields(self, arm: ArmOfRows, policy: PolicyRef | None) -> bytes:
        if policy not in self._more:
            self._more[policy] = more_fields(**fields_of_arm(arm, policy))
        return self._more[policy]

    def _first(
        self,
        decided: Decided,
        degraded: tuple[str, ...],
        known: Sequence[BatchValues] | None,
        at: int,
    ) -> FirstDecision:
        if isinstance(decided, ReadDecision):
            # The same for nearly all rows, and the whole key of a context takes long to hash.
            words = (degraded, decided.policy)
            context = self._read_contexts.get(words)
            if context is None:
                context = self._context(self._model.ref, degraded, decided.policy, has_spec=True)
                self._read_contexts[words] = context
            return decided.first(context, now_ms=self.now_ms)
        has_spec = decided.vector_spec is not None
        batch = None
        if has_spec and known is not None and known[at].as_of_ms is not None:
            values = [known[at].features[name] for name in self._model.batch_columns]
            batch = KeptBatch(cast(int, known[at].as_of_ms), values)
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


def _decide(
    batch: ReadBatch,
    model: Model,
    policy: Policy,
    known: Sequence[BatchValues] | None,
    now_ms: int,
) -> list[Decided]:
    scorables = batch.scorables
    reader = model.reader
    is_read = [reader is not None and each.texts is not None for each in scorables]
    read = [each for each, is_so in zip(scorables, is_read, strict=True) if is_so]
    others = [each for each, is_so in zip(scorables, is_read, strict=True) if not is_so]
    decided: list[Decided] = []
    if read and reader is not None:
        decided.extend(
            decide_read(
                batch.rows,
                [each.at for each in read],
                texts=[each.texts for each in read if each.texts is not None],
                places=[each.place for each in read],
                model=model,
                reader=reader,
                policy=policy,
                batch=_some(known, is_read, wanted=True),
            )
        )
    if not others:
        return decided
    of_read = iter(decided)
    of_others = iter(
        decide_many(
            [each.row for each in others],
            model=model,
            policy=policy,
            features_offsets=[each.place for each in others],
            now_ms=now_ms,
            batch=_some(known, is_read, wanted=False),
        )
    )
    return [next(of_read) if is_so else next(of_others) for is_so in is_read]


def _some(
    known: Sequence[BatchValues] | None, is_read: Sequence[bool], *, wanted: bool
) -> list[BatchValues] | None:
    if known is None:
        return None
    return [value for value, is_so in zip(known, is_read, strict=True) if is_so == wanted]
