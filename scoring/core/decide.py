"""Turns feature rows into decisions, for the stream and the API alike.

Pure: the time, the model and what is degraded are arguments. Knows no client, no topic and no
store. It does not choose the champion; it only checks whether the given model may score a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from features.engine.values import FeatureValue
from features.online import batch_values
from features.online.batch_values import BatchValues
from models.encoding.vector import VectorSpec, vector_bytes, vector_digest
from models.heuristic import HEURISTIC, HEURISTIC_NAME, matched_rule_texts
from models.model import Model
from models.policy import Policy
from schemas.decision import Decision, ModelRef, Offset, inputs_of
from schemas.feature_row import FeatureRow
from scoring.core.last_good import remarks_of

DEGRADED_NO_MODEL = "no_model"
"""There is no champion: the heuristic decided."""
DEGRADED_DEFINITION_DIGEST_MISMATCH = "definition_digest_mismatch"
"""The row's feature definitions are not the model's: the heuristic decided."""
DEGRADED_DECISION_STORE_UNAVAILABLE = "decision_store_unavailable"
"""The store of first decisions could not be used, or had just lost what it had: a repeat may be
decided differently, and this may be one."""
DEGRADED_BATCH_FEATURES_MISSING = batch_values.MISSING
"""Nothing was ever materialised: the model's batch features are null."""
DEGRADED_BATCH_FEATURES_STALE = batch_values.STALE
"""The materialised values are later than the event, or too old: they are null."""
DEGRADED_BATCH_FEATURES_UNREADABLE = batch_values.UNREADABLE
"""The materialised values are damaged: they are null."""
DEGRADED_BATCH_FEATURES_UNAVAILABLE = batch_values.UNAVAILABLE
"""The online store did not answer: they are null."""

MATCHED_RULES_MAX = 3
"""Largest number of matched rules in a decision: the strongest ones."""
MATCHED_RULE = "matched rule, not the model's reason: "
"""What comes before a matched rule among the reasons if a model scored."""
NO_RULE_MATCHED = "no rule of the heuristic matches: only the model's score led to this outcome"
"""The reason of a review or a block by a model if no rule matches."""


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

    A row of other feature definitions than the model's is scored by the heuristic, and its
    decision says so. Each decision depends on its own row alone, not on the other rows of the
    batch.

    Args:
        rows: feature rows, in log order.
        model: to score with; a batch has one model.
        policy: the thresholds.
        features_offsets: partition and offset of each row in the feature log.
        now_ms: the present time, ms since 1970 UTC.
        degraded: what the caller lacks; goes into each decision.
        batch: the batch features of each row's user as of the row's event; None if they could not
            be read. Ignored for a model that takes none.

    Returns:
        One decision for each row, in their order.

    Raises:
        ValueError: the numbers of rows, offsets and batch features differ, or a score is not a
            probability.
    """
    matched = [matched_rule_texts(row.features, texts_max=MATCHED_RULES_MAX) for row in rows]
    return [
        Decision(
            transaction_id=row.transaction.transaction_id,
            user_id=row.transaction.user_id,
            decision=policy.outcome(scored.score),
            score=scored.score,
            model=scored.model,
            features=scored.features,
            vector=scored.vector,
            features_offset=features_offset,
            definition_digest=row.definition_digest,
            approximate=row.approximate,
            degraded=degraded + scored.degraded,
            reasons=_reasons(scored, matched_rules, policy),
            event_time_ms=row.transaction.event_time_ms,
            timings={
                "transaction_timestamp_ms": row.origin.timestamp_ms,
                "features_at_ms": row.computed_at_ms,
                "scored_at_ms": now_ms,
            },
            decided_at_ms=now_ms,
            batch_as_of_ms=scored.batch_as_of_ms,
            merchant_id=row.transaction.merchant_id,
            matched_rules=matched_rules,
            inputs=None if scored.spec is None else inputs_of(row.transaction),
            vector_spec=None if scored.spec is None else scored.spec.digest,
            vector_digest=_digest_of(scored),
        )
        for row, features_offset, scored, matched_rules in zip(
            rows, features_offsets, _score(rows, model=model, batch=batch), matched, strict=True
        )
    ]


class _ScoredRow(NamedTuple):
    """The score of one row, before any threshold, with the inputs it was made from."""

    model: ModelRef
    score: float
    vector: list[float] | None
    degraded: tuple[str, ...]
    features: dict[str, FeatureValue]
    batch_as_of_ms: int | None
    spec: VectorSpec | None


def for_log(decision: Decision, *, degraded: tuple[str, ...]) -> Decision:
    """Give a decision as it goes to the topic: without a vector that follows from the rest.

    Args:
        decision: as it was made.
        degraded: its words.
    """
    vector = decision.vector if decision.vector_spec is None else None
    return replace(decision, degraded=degraded, vector=vector)


def _digest_of(scored: _ScoredRow) -> str | None:
    if scored.spec is None or scored.vector is None:
        return None
    return vector_digest(vector_bytes(scored.vector))


def _score(
    rows: Sequence[FeatureRow], *, model: Model, batch: Sequence[BatchValues] | None
) -> list[_ScoredRow]:
    """Score each row by the model if it has the model's definitions, else by the heuristic."""
    fits = [model.definition_digest in (None, row.definition_digest) for row in rows]
    is_heuristic = model.ref.name == HEURISTIC_NAME
    degraded = (DEGRADED_NO_MODEL,) if is_heuristic else remarks_of(model)
    values = known_or_null(model, batch, count=len(rows))
    if all(fits):
        return _score_by(model, rows, values, degraded=degraded)
    fitting = iter(
        _score_by(
            model,
            [row for row, fit in zip(rows, fits, strict=True) if fit],
            values and [value for value, fit in zip(values, fits, strict=True) if fit],
            degraded=degraded,
        )
    )
    others = iter(
        _score_by(
            HEURISTIC,
            [row for row, fit in zip(rows, fits, strict=True) if not fit],
            None,
            degraded=(DEGRADED_DEFINITION_DIGEST_MISMATCH,),
        )
    )
    return [next(fitting if fit else others) for fit in fits]


def known_or_null(
    model: Model, batch: Sequence[BatchValues] | None, *, count: int
) -> Sequence[BatchValues] | None:
    """Give the batch features of some rows, unknown ones if they were not read.

    None if the model takes none.
    """
    if not model.batch_columns:
        return None
    if batch is None:
        return [batch_values.unknown(DEGRADED_BATCH_FEATURES_UNAVAILABLE)] * count
    return batch


def _score_by(
    model: Model,
    rows: Sequence[FeatureRow],
    batch: Sequence[BatchValues] | None,
    *,
    degraded: tuple[str, ...],
) -> list[_ScoredRow]:
    if not rows:
        return []
    if batch is not None:
        return _score_with_batch(model, rows, batch, degraded)
    scores, vectors = model.score(rows)
    no_vectors: list[list[float] | None] = [None] * len(scores)
    return [
        _ScoredRow(model.ref, score, vector, degraded, row.features, None, model.spec)
        for row, score, vector in zip(rows, scores, vectors or no_vectors, strict=True)
    ]


def _score_with_batch(
    model: Model,
    rows: Sequence[FeatureRow],
    batch: Sequence[BatchValues],
    degraded: tuple[str, ...],
) -> list[_ScoredRow]:
    columns = model.batch_columns
    joined = [
        replace(row, features=row.features | _of_columns(values.features, columns))
        for row, values in zip(rows, batch, strict=True)
    ]
    return [
        scored._replace(
            batch_as_of_ms=values.as_of_ms,
            degraded=degraded if values.degraded is None else (*degraded, values.degraded),
        )
        for scored, values in zip(
            _score_by(model, joined, None, degraded=degraded), batch, strict=True
        )
    ]


def _of_columns(
    features: Mapping[str, FeatureValue], columns: tuple[str, ...]
) -> dict[str, FeatureValue]:
    return {column: features[column] for column in columns}


def _reasons(scored: _ScoredRow, matched_rules: tuple[str, ...], policy: Policy) -> tuple[str, ...]:
    """Give sentences that a person can read without knowing what scored."""
    if scored.model.name == HEURISTIC_NAME:
        return (policy.explain(scored.score), *matched_rules)
    return model_reasons(scored.score, matched_rules, policy)


def model_reasons(score: float, matched_rules: tuple[str, ...], policy: Policy) -> tuple[str, ...]:
    """Give the reasons of a decision by a model that is not the heuristic."""
    threshold = policy.explain(score)
    if matched_rules:
        return (threshold, *[f"{MATCHED_RULE}{text}" for text in matched_rules])
    if policy.outcome(score) == "APPROVE":
        return (threshold,)
    return (threshold, NO_RULE_MATCHED)
