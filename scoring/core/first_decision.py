"""What is kept of a first decision, and the decision made again from it and its feature row.

A repeat needs the outcome, the score, who scored, and the place of the row that was scored; all
else follows from that row. So 29 bytes are kept of each decision, and once for many decisions
their context: the model, the thresholds, and what was degraded. Pure. The worker and the API use
it; `scoring.stores.decision_store` keeps the bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from struct import Struct
from typing import Any, Final, NamedTuple

import orjson

from features.engine.values import FeatureValue
from features.online.batch_values import BatchValues
from models.encoding.row import encode_row
from models.encoding.vector import VectorSpec
from models.model import Model, ReadRowsModel, Scores
from models.policy import Policy
from schemas.decision import Decision, ModelRef, Offset, Outcome, PolicyRef, RolloutRef
from schemas.feature_row import FeatureRow
from scoring.core.arms import ArmOfRows, in_arm
from scoring.core.decide import decide, for_log

DEGRADED_FIRST_ROW_UNAVAILABLE: Final = "first_row_unavailable"
"""A repeat: the row of the first decision could not be read, so the features are the repeat's."""
DEGRADED_FIRST_CONTEXT_LOST: Final = "first_context_lost"
"""A repeat: outcome and score are the first decision's; who scored is not known any more."""

CONTEXT_BYTES: Final = 6
"""Length of a context's digest, bytes."""

# Score, digest of the context, outcome, partition, then offset and time of 48 bits each. The engine
# writes the same (native/src/decisions.rs).
_FIXED: Final = Struct(f"<d{CONTEXT_BYTES}sBHHIHI")
OUTCOMES: Final[tuple[Outcome, ...]] = ("APPROVE", "REVIEW", "BLOCK")
"""By rising score; what is kept of a decision has the position."""
_OUTCOME_NUMBERS: Final = {outcome: number for number, outcome in enumerate(OUTCOMES)}
_LOW: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class DecisionContext:
    """What many decisions have in common.

    Attributes:
        model: the model that scored.
        policy: the thresholds.
        degraded: the decision's words.
        spec: of the model's vectors; None if it has none.
        arm: of a rollout; None without one.
        drawn: what gave the outcome beside the thresholds.
    """

    model: ModelRef
    policy: Policy
    degraded: tuple[str, ...]
    spec: VectorSpec | None
    arm: ArmOfRows | None = None
    drawn: PolicyRef | None = None

    def to_json(self) -> bytes:
        """Write the context; equal contexts give equal bytes."""
        obj = {
            "model": self.model,
            "review_threshold": self.policy.review_threshold,
            "block_threshold": self.policy.block_threshold,
            "degraded": self.degraded,
            "vector": None if self.spec is None else self.spec.to_json(),
        }
        if self.arm is not None:
            # Many decisions share an arm, but not the duration of their model call.
            obj |= {"arm": replace(self.arm, model_ms=None), "drawn": self.drawn}
        return orjson.dumps(obj)

    @classmethod
    def from_json(cls, content: bytes) -> DecisionContext:
        """Read what `to_json` wrote."""
        obj = orjson.loads(content)
        spec = obj["vector"]
        return cls(
            model=ModelRef(**obj["model"]),
            policy=Policy(
                review_threshold=obj["review_threshold"], block_threshold=obj["block_threshold"]
            ),
            degraded=tuple(obj["degraded"]),
            spec=None if spec is None else VectorSpec.from_json(spec),
            arm=_arm(obj.get("arm")),
            drawn=None if obj.get("drawn") is None else PolicyRef(**obj["drawn"]),
        )


def _arm(obj: dict[str, Any] | None) -> ArmOfRows | None:
    return None if obj is None else ArmOfRows(**{**obj, "rollout": RolloutRef(**obj["rollout"])})


def context_digest(content: bytes) -> bytes:
    """Give the digest under which a context is kept, of `CONTEXT_BYTES` bytes."""
    return hashlib.blake2b(content, digest_size=CONTEXT_BYTES).digest()


class KeptBatch(NamedTuple):
    """The batch features of a decision."""

    as_of_ms: int
    values: list[FeatureValue]
    """In the order of the batch columns of the vector."""

    def to_json(self) -> bytes:
        """Write them."""
        return orjson.dumps([*self])


class FirstDecision(NamedTuple):
    """What is kept of a first decision.

    Examples:
        >>> first = FirstDecision(0.75, b"digest", "REVIEW", Offset(1, 2**40), 1_795_478_400_000)
        >>> len(first.pack()), FirstDecision.unpack(first.pack()) == first
        (29, True)
    """

    score: float
    context: bytes
    """Digest of the context."""
    outcome: Outcome
    place: Offset
    """Where its row is in the feature log."""
    decided_at_ms: int
    batch: KeptBatch | None = None
    """None if the model takes no batch features, or they were not known."""

    def pack(self) -> bytes:
        """Write it: 29 bytes, and some 30 more with batch features.

        Raises:
            struct.error: the partition or the time is out of all bounds.
        """
        at, ms = self.place.offset, self.decided_at_ms
        fixed = _FIXED.pack(
            self.score,
            self.context,
            _OUTCOME_NUMBERS[self.outcome],
            self.place.partition,
            at >> 32,
            at & _LOW,
            ms >> 32,
            ms & _LOW,
        )
        return fixed if self.batch is None else fixed + self.batch.to_json()

    @classmethod
    def unpack(cls, content: bytes) -> FirstDecision:
        """Read what `pack` wrote.

        Raises:
            ValueError: it is something else.
        """
        if len(content) < _FIXED.size:
            raise ValueError(f"{len(content)} bytes are no first decision")
        score, context, outcome, partition, at_high, at_low, ms_high, ms_low = _FIXED.unpack_from(
            content
        )
        rest = content[_FIXED.size :]
        return cls(
            score=score,
            context=context,
            outcome=OUTCOMES[outcome],
            place=Offset(partition, at_high << 32 | at_low),
            decided_at_ms=ms_high << 32 | ms_low,
            batch=KeptBatch(*orjson.loads(rest)) if rest else None,
        )


def decide_again(
    first: FirstDecision, row: FeatureRow, context: DecisionContext | None
) -> Decision:
    """Give the first decision again, as it went to the topic.

    Equal to it if the row is the one at ``first.place``; the reasons are worded by this code.

    Args:
        first: what was kept.
        row: the first decision's row.
        context: of the first decision; None if it is lost.
    """
    known = context or _LOST
    decision = decide(
        row,
        model=_Recorded(known, first.score),
        policy=known.policy,
        features_offset=first.place,
        now_ms=first.decided_at_ms,
        batch=_batch_of(first, known),
    )
    if known.arm is None:
        decision = replace(decision, decision=first.outcome)
    else:
        decision = in_arm(decision, known.arm, outcome=first.outcome, policy=known.drawn)
    return for_log(decision, degraded=known.degraded)


_LOST: Final = DecisionContext(
    model=ModelRef(name="unknown", version="unknown", digest=""),
    policy=Policy(review_threshold=1.0, block_threshold=1.0),
    degraded=(DEGRADED_FIRST_CONTEXT_LOST,),
    spec=None,
)


class _Recorded(Model):
    """A model that gives the score of a decision again."""

    definition_digest: str | None = None

    def __init__(self, context: DecisionContext, score: float) -> None:
        self._ref = context.model
        self._spec = context.spec
        self._score = score

    @property
    def ref(self) -> ModelRef:
        return self._ref

    @property
    def batch_columns(self) -> tuple[str, ...]:
        return () if self._spec is None else self._spec.batch_columns

    @property
    def spec(self) -> VectorSpec | None:
        return self._spec

    @property
    def reader(self) -> ReadRowsModel | None:
        return None

    def score(self, rows: Sequence[FeatureRow]) -> Scores:
        (row,) = rows
        spec = self._spec
        vectors = None if spec is None else [encode_row(spec, row.transaction, row.features)]
        return Scores([self._score], vectors)


def _batch_of(first: FirstDecision, context: DecisionContext) -> BatchValues | None:
    if first.batch is None or context.spec is None:
        return None
    values = dict(zip(context.spec.batch_columns, first.batch.values, strict=True))
    return BatchValues(values, first.batch.as_of_ms, None)
