"""From feature rows to decisions: the heart of scoring, shared by the stream and the API.

Pure: the clock, the model and what is degraded are arguments. Knows no client, no topic and
no store; it never decides which model is champion, only whether that model may score a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from features.engine.aggregates import FeatureValue
from features.online import batch_values
from features.online.batch_values import BatchValues
from models.heuristic import HEURISTIC, HEURISTIC_NAME, notable
from models.model import Model
from models.policy import Policy
from schemas.decision import Decision, ModelRef, Offset
from schemas.feature_row import FeatureRow

DEGRADED_NO_MODEL = "no_model"
"""There is no champion: the heuristic decided."""
DEGRADED_DEFINITION_DIGEST_MISMATCH = "definition_digest_mismatch"
"""The row's features follow other definitions than the model's: the heuristic decided."""
DEGRADED_DECISION_STORE_UNAVAILABLE = "decision_store_unavailable"
"""The store of first decisions did not take part: a repeat may be decided anew."""
DEGRADED_BATCH_FEATURES_MISSING = batch_values.MISSING
"""Nothing was ever materialised: the model's batch features are null."""
DEGRADED_BATCH_FEATURES_STALE = batch_values.STALE
"""What was materialised is of after the event, or too old: they are null."""
DEGRADED_BATCH_FEATURES_UNREADABLE = batch_values.UNREADABLE
"""What was materialised is damaged: they are null."""
DEGRADED_BATCH_FEATURES_UNAVAILABLE = batch_values.UNAVAILABLE
"""The online store did not answer: they are null."""

REASONS_MAX = 4
"""Longest list of reasons: the threshold, then the strongest rules."""


def decide(
    row: FeatureRow,
    *,
    model: Model,
    policy: Policy,
    features_offset: Offset,
    now_ms: int,
    degraded: tuple[str, ...] = (),
    batch: BatchValues | None = None,
) -> Decision:
    """Decide on one feature row; see `decide_many`."""
    return decide_many(
        [row],
        model=model,
        policy=policy,
        features_offsets=[features_offset],
        now_ms=now_ms,
        degraded=degraded,
        batch=None if batch is None else [batch],
    )[0]


def decide_many(
    rows: Sequence[FeatureRow],
    *,
    model: Model,
    policy: Policy,
    features_offsets: Sequence[Offset],
    now_ms: int,
    degraded: tuple[str, ...] = (),
    batch: Sequence[BatchValues] | None = None,
) -> list[Decision]:
    """Decide on a batch, with one call of the model for all rows that it may score.

    A row whose features follow other definitions than the model was trained on is scored by
    the heuristic, and says so; so is every row while the heuristic is all there is. Each
    decision depends on its own row alone, never on its neighbours in the batch.

    Args:
        rows: feature rows, in log order.
        model: who scores; a batch has one model.
        policy: the thresholds.
        features_offsets: where each row stands in the feature log, as many as rows.
        now_ms: clock, ms since 1970 UTC.
        degraded: what the caller has to do without; goes into each decision.
        batch: the batch features of each row's user as of the row's event, as many as rows; None
            if they could not be read. Looked at only for a model that takes some.

    Returns:
        One decision a row, in the order of the rows.

    Raises:
        ValueError: another number of offsets or of batch features than of rows, or a score that
            is no probability.
    """
    return [
        Decision(
            transaction_id=row.transaction.transaction_id,
            user_id=row.transaction.user_id,
            decision=policy.outcome(judgement.score),
            score=judgement.score,
            model=judgement.model,
            features=judgement.features,
            vector=judgement.vector,
            features_offset=features_offset,
            definition_digest=row.definition_digest,
            approximate=row.approximate,
            degraded=degraded + judgement.degraded,
            reasons=_reasons(row, judgement.score, policy),
            event_time_ms=row.transaction.event_time_ms,
            timings={
                "transaction_timestamp_ms": row.origin.timestamp_ms,
                "features_at_ms": row.computed_at_ms,
                "scored_at_ms": now_ms,
            },
            decided_at_ms=now_ms,
            batch_as_of_ms=judgement.batch_as_of_ms,
        )
        for row, features_offset, judgement in zip(
            rows, features_offsets, judge(rows, model=model, batch=batch), strict=True
        )
    ]


class Judgement(NamedTuple):
    """What was found out about one row, before any threshold, and from which features."""

    model: ModelRef
    score: float
    vector: list[float] | None
    degraded: tuple[str, ...]
    features: dict[str, FeatureValue]
    batch_as_of_ms: int | None


def judge(
    rows: Sequence[FeatureRow], *, model: Model, batch: Sequence[BatchValues] | None = None
) -> list[Judgement]:
    """Score a batch, each row by the model when its definitions fit, else by the heuristic.

    Args:
        rows: feature rows, in log order.
        model: who scores.
        batch: as in `decide_many`.
    """
    fits = [model.definition_digest in (None, row.definition_digest) for row in rows]
    own = (DEGRADED_NO_MODEL,) if model.ref.name == HEURISTIC_NAME else ()
    values = _asked_for(model, rows, batch)
    if all(fits):
        return _judge_by(model, rows, values, degraded=own)
    fitting = iter(
        _judge_by(
            model,
            [row for row, fit in zip(rows, fits, strict=True) if fit],
            values and [value for value, fit in zip(values, fits, strict=True) if fit],
            degraded=own,
        )
    )
    others = iter(
        _judge_by(
            HEURISTIC,
            [row for row, fit in zip(rows, fits, strict=True) if not fit],
            None,
            degraded=(DEGRADED_DEFINITION_DIGEST_MISMATCH,),
        )
    )
    return [next(fitting if fit else others) for fit in fits]


def _asked_for(
    model: Model, rows: Sequence[FeatureRow], batch: Sequence[BatchValues] | None
) -> Sequence[BatchValues] | None:
    """Give what a model takes of the batch features: None if it takes none."""
    if not model.batch_columns:
        return None
    if batch is None:
        return [batch_values.unknown(DEGRADED_BATCH_FEATURES_UNAVAILABLE)] * len(rows)
    return batch


def _judge_by(
    model: Model,
    rows: Sequence[FeatureRow],
    batch: Sequence[BatchValues] | None,
    *,
    degraded: tuple[str, ...],
) -> list[Judgement]:
    if not rows:
        return []
    if batch is not None:
        return _judge_with_batch(model, rows, batch, degraded)
    scores, vectors = model.score(rows)
    no_vectors: list[list[float] | None] = [None] * len(scores)
    return [
        Judgement(model.ref, score, vector, degraded, row.features, None)
        for row, score, vector in zip(rows, scores, vectors or no_vectors, strict=True)
    ]


def _judge_with_batch(
    model: Model,
    rows: Sequence[FeatureRow],
    batch: Sequence[BatchValues],
    degraded: tuple[str, ...],
) -> list[Judgement]:
    columns = model.batch_columns
    joined = [
        replace(row, features=row.features | _of_columns(values.features, columns))
        for row, values in zip(rows, batch, strict=True)
    ]
    return [
        judgement._replace(
            batch_as_of_ms=values.as_of_ms,
            degraded=degraded if values.degraded is None else (*degraded, values.degraded),
        )
        for judgement, values in zip(
            _judge_by(model, joined, None, degraded=degraded), batch, strict=True
        )
    ]


def _of_columns(
    features: Mapping[str, FeatureValue], columns: tuple[str, ...]
) -> dict[str, FeatureValue]:
    return {column: features[column] for column in columns}


def _reasons(row: FeatureRow, score: float, policy: Policy) -> tuple[str, ...]:
    return (policy.explain(score), *notable(row.features, texts_max=REASONS_MAX - 1))
