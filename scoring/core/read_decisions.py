"""Decides on feature rows that the engine has read, without an object for each row.

Gives what `decide` gives for the decoded rows, byte for byte once encoded; a test holds the two
equal. Texts of a row are copied into its decision. Pure. `BatchScorer` calls it for the rows of one
model, so a batch of several models is several calls.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import nan
from typing import Final, NamedTuple

import orjson

from features.engine.rows import ReadRows, RowTexts, feature_limits
from features.online.batch_values import BatchValues
from models.heuristic import RULES, matched_rule_texts
from models.model import Model, ReadRowsModel
from models.policy import Policy
from schemas.decision import ModelRef, Offset, Outcome, PolicyRef
from schemas.output_codec import ROLLOUT_FIELDS
from scoring.core.decide import MATCHED_RULES_MAX, model_reasons
from scoring.core.first_decision import FirstDecision, KeptBatch
from scoring.core.last_good import words_of

_RULE_LIMITS: Final = feature_limits({rule.feature: rule.low for rule in RULES})
_NO_NAMES: Final = b"[]"
_OUTCOMES: Final[dict[Outcome, bytes]] = {
    "APPROVE": b"APPROVE",
    "REVIEW": b"REVIEW",
    "BLOCK": b"BLOCK",
}


def more_fields(**values: object) -> bytes:
    """Give the fields of a decision after ``vector_digest`` as JSON, behind a comma.

    Args:
        values: of each of `ROLLOUT_FIELDS`, at least one of them not None.
    """
    return b"," + orjson.dumps({name: values[name] for name in ROLLOUT_FIELDS})[1:-1]


NOTHING_MORE: Final = b""
"""What a decision without a rollout has after ``vector_digest``."""


class ReadDecision(NamedTuple):
    """A decision about one row, before it is encoded."""

    texts: RowTexts
    place: Offset
    outcome: Outcome
    score: float
    reasons: bytes
    """A JSON list, as `matched_rules`."""
    matched_rules: bytes
    more_features: bytes
    """The batch features as further members of the features, behind a comma; or nothing."""
    vector_digest: str
    degraded: tuple[str, ...]
    batch: KeptBatch | None
    policy: PolicyRef | None = None
    """What gave the outcome beside the thresholds."""

    def first(self, context: bytes, *, now_ms: int) -> FirstDecision:
        """Give what is kept of it, in a context with this digest."""
        return FirstDecision(self.score, context, self.outcome, self.place, now_ms, self.batch)


def decide_read(
    rows: ReadRows,
    at: Sequence[int],
    *,
    texts: Sequence[RowTexts],
    places: Sequence[Offset],
    model: Model,
    reader: ReadRowsModel,
    policy: Policy,
    batch: Sequence[BatchValues] | None,
) -> list[ReadDecision]:
    """Decide on some rows of a batch, with one call of the model.

    Args:
        rows: what the engine has read.
        at: the positions of the rows to decide on.
        texts: of each of them.
        places: where each of them is in the feature log.
        model: to score with, of the rows' definitions.
        reader: ``model.reader``.
        policy: the thresholds.
        batch: the batch features of each row's user as of the row's event; ignored for a model that
            takes none. Not None for one that takes some.

    Raises:
        ValueError: a score is not a probability.
    """
    if not model.batch_columns or batch is None:
        batch = None
    vectors = None if batch is None else [_numbers(each, model.batch_columns) for each in batch]
    scored = reader.score_read(rows, at, batch=vectors)
    no_batch = [_NO_BATCH] * len(texts)
    above = rows.above(at, _RULE_LIMITS)
    words = words_of(model)
    decisions = []
    for text, place, score, digest, values, of_batch in zip(
        texts,
        places,
        scored.scores,
        scored.vector_digests,
        above,
        no_batch if batch is None else [_batch(each, model.batch_columns) for each in batch],
        strict=True,
    ):
        matched = matched_rule_texts(values, texts_max=MATCHED_RULES_MAX) if values else ()
        decisions.append(
            ReadDecision(
                text,
                place,
                policy.outcome(score),
                score,
                orjson.dumps(model_reasons(score, matched, policy)),
                orjson.dumps(matched) if matched else _NO_NAMES,
                of_batch.text,
                digest,
                words + of_batch.degraded,
                of_batch.kept,
            )
        )
    return decisions


def read_form(*, model: ModelRef, vector_spec: str, definition_digest: str, now_ms: int) -> bytes:
    """Give what the decisions of a batch have in common, for `encode_read`.

    Args:
        model: the model that scored.
        vector_spec: digest of the specification of its vectors.
        definition_digest: of the rows.
        now_ms: when they were decided, ms since 1970 UTC.
    """
    common = {
        b"MODEL": orjson.dumps(model),
        b"DEFINITIONS": orjson.dumps(definition_digest),
        b"NOW": b"%d" % now_ms,
        b"SPEC": orjson.dumps(vector_spec),
    }
    return re.sub(rb"<([A-Z]+)>", lambda found: common[found[1]].replace(b"%", b"%%"), _FORM)


_FORM: Final = (
    b'{"transaction_id":"%b","user_id":"%b","decision":"%b","score":%b,"model":<MODEL>,'
    b'"features":{%b%b},"vector":null,"features_offset":{"partition":%d,"offset":%d},'
    b'"definition_digest":<DEFINITIONS>,"approximate":%b,"degraded":%b,"reasons":%b,'
    b'"event_time_ms":%b,"timings":{"transaction_timestamp_ms":%b,"features_at_ms":%b,'
    b'"scored_at_ms":<NOW>},"decided_at_ms":<NOW>,"batch_as_of_ms":%b,"merchant_id":"%b",'
    b'"matched_rules":%b,"inputs":%b,"vector_spec":<SPEC>,"vector_digest":"%b"%b}'
)


def encode_read(
    decision: ReadDecision, form: bytes, *, degraded: tuple[str, ...], more: bytes = NOTHING_MORE
) -> bytes:
    """Write a decision as `schemas.output_codec.encode_decision` does.

    Args:
        decision: about one row.
        form: of its batch, as `read_form` gives it.
        degraded: the decision's words.
        more: the fields after ``vector_digest``, as `more_fields` gives them.
    """
    text, place = decision.texts, decision.place
    return form % (
        text.transaction_id,
        text.user_id,
        _OUTCOMES[decision.outcome],
        orjson.dumps(decision.score),
        text.features,
        decision.more_features,
        place.partition,
        place.offset,
        text.approximate,
        orjson.dumps(degraded) if degraded else _NO_NAMES,
        decision.reasons,
        text.event_time_ms,
        text.timestamp_ms,
        text.computed_at_ms,
        b"null" if decision.batch is None else b"%d" % decision.batch.as_of_ms,
        text.merchant_id,
        decision.matched_rules,
        text.inputs,
        decision.vector_digest.encode(),
        more,
    )


class _Batch(NamedTuple):
    text: bytes
    degraded: tuple[str, ...]
    kept: KeptBatch | None


_NO_BATCH: Final = _Batch(b"", (), None)


def _batch(values: BatchValues, columns: Sequence[str]) -> _Batch:
    features = {column: values.features[column] for column in columns}
    return _Batch(
        b"," + orjson.dumps(features)[1:-1],
        () if values.degraded is None else (values.degraded,),
        None if values.as_of_ms is None else KeptBatch(values.as_of_ms, list(features.values())),
    )


def _numbers(values: BatchValues, columns: Sequence[str]) -> list[float]:
    features = (values.features[column] for column in columns)
    return [nan if value is None else float(value) for value in features]
