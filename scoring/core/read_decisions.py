"""Decides on feature rows that the engine has read, a batch in one call of the engine.

Gives what `decide_many` gives for the decoded rows, byte for byte once encoded, and what
`FirstDecision.pack` gives for them; a test holds them equal. The engine gets thresholds, rules,
sentences and the layout of a decision as data. Pure. `scoring.worker` calls it for the rows of one
model, so a batch of several models is several calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from math import nan
from typing import Any, Final

import orjson

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from features.engine.rows import DecisionForm, Decisions, ReadRows, RowKeys, decision_form
from features.online.batch_values import BatchValues
from models.heuristic import RULES
from models.model import Model, ReadRowsModel
from models.policy import Policy
from schemas.decision import ModelRef, Outcome, PolicyRef
from schemas.output_codec import ROLLOUT_FIELDS
from scoring.core.decide import MATCHED_RULE, MATCHED_RULES_MAX, NO_RULE_MATCHED
from scoring.core.first_decision import OUTCOMES, KeptBatch
from scoring.core.last_good import remarks_of

# Names in capitals are parts that the engine writes, or that a form has once; the others are fields
# of `RowKeys`. The names and their order are those of `schemas.decision.Decision`.
_LAYOUT: Final = (
    '{"transaction_id":"<transaction_id>","user_id":"<user_id>","decision":"<OUTCOME>",'
    '"score":<SCORE>,"model":<MODEL>,"features":{<FEATURES><MORE_FEATURES>},"vector":null,'
    '"features_offset":{"partition":<PARTITION>,"offset":<OFFSET>},'
    '"definition_digest":<DEFINITIONS>,"approximate":<APPROXIMATE>,"degraded":<DEGRADED>,'
    '"reasons":<REASONS>,"event_time_ms":<event_time_ms>,"timings":{'
    '"transaction_timestamp_ms":<TIMESTAMP>,"features_at_ms":<COMPUTED>,"scored_at_ms":<NOW>},'
    '"decided_at_ms":<NOW>,"batch_as_of_ms":<BATCH_TIME>,"merchant_id":"<merchant_id>",'
    '"matched_rules":<MATCHED>,"inputs":<REPEATED>,"vector_spec":<SPEC>,'
    '"vector_digest":"<VECTOR_DIGEST>"<MORE>}'
)


def more_fields(**values: object) -> bytes:
    """Give the fields of a decision after ``vector_digest`` as JSON, behind a comma.

    Args:
        values: of each of `ROLLOUT_FIELDS`, at least one of them not None.
    """
    return b"," + orjson.dumps({name: values[name] for name in ROLLOUT_FIELDS})[1:-1]


NOTHING_MORE: Final = b""
"""What a decision without a rollout has after ``vector_digest``."""


class ReadDecisions:
    """Decisions about some rows of a batch, by position among them.

    Attributes:
        scores: of each row.
        outcomes: of each row.
        degraded: the words of each decision.
        drawn: what gave the outcome of a row beside the thresholds, where anything did.
    """

    def __init__(
        self,
        decisions: Decisions,
        *,
        scores: list[float],
        degraded: list[tuple[str, ...]],
        is_alike: bool,
    ) -> None:
        """Take what the engine has decided.

        Args:
            decisions: of the engine.
            scores: of each row.
            degraded: the words of each row.
            is_alike: whether all rows have the same words.
        """
        self._decisions = decisions
        self._is_alike = is_alike
        self.scores = scores
        self.outcomes: list[Outcome] = [OUTCOMES[number] for number in decisions.outcomes()]
        self.degraded = degraded
        self.drawn: dict[int, PolicyRef] = {}

    def add_degraded(self, words: tuple[str, ...]) -> None:
        """Put words before those of each decision."""
        if words:
            self.degraded = [words + each for each in self.degraded]

    def draw(self, at: int, outcome: Outcome, policy: PolicyRef, reasons: Sequence[str]) -> None:
        """Set an outcome that a draw gave, with at most one more reason."""
        text = orjson.dumps(reasons[0]).decode()[1:-1] if reasons else None
        self._decisions.change(at, OUTCOMES.index(outcome), text)
        self.outcomes[at] = outcome
        self.drawn[at] = policy

    def alike(
        self, at: Sequence[int], degraded: Sequence[tuple[str, ...]] | None = None
    ) -> Iterator[tuple[tuple[str, ...], PolicyRef | None, Sequence[int]]]:
        """Group decisions that have the same words and the same draw.

        Args:
            at: positions, at least one.
            degraded: the words of each of them, if they are not those of `degraded`.

        Returns:
            Words, draw, and the entries of ``at``.
        """
        if degraded is None and self._is_alike and not self.drawn:
            yield self.degraded[at[0]], None, at
            return
        groups: dict[tuple[tuple[str, ...], PolicyRef | None], list[int]] = {}
        given = [self.degraded[each] for each in at] if degraded is None else degraded
        for each, words in zip(at, given, strict=True):
            groups.setdefault((words, self.drawn.get(each)), []).append(each)
        for (words, policy), found in groups.items():
            yield words, policy, found

    def kept(self, at: Sequence[int], context: bytes, *, now_ms: int) -> list[bytes]:
        """Give what is kept of some decisions, as `FirstDecision.pack` does."""
        return self._decisions.kept(at, context, now_ms)

    def encode(
        self,
        at: Sequence[int],
        *,
        now_ms: int,
        degraded: Sequence[tuple[str, ...]] | None = None,
        more: Callable[[PolicyRef | None], bytes],
    ) -> list[bytes]:
        """Write decisions as `schemas.output_codec.encode_decision` does, in the order of ``at``.

        Args:
            at: their positions.
            now_ms: when they were made, ms since 1970 UTC.
            degraded: the words of each of them, if they are not those of `degraded`.
            more: gives the fields after ``vector_digest`` of decisions with a draw.
        """
        if not at:
            return []
        written: dict[int, bytes] = {}
        for words, policy, group in self.alike(at, degraded):
            found = self._decisions.encode(group, now_ms, orjson.dumps(words), more(policy))
            if len(group) == len(at):
                return found
            written.update(zip(group, found, strict=True))
        return [written[each] for each in at]


def decide_read(
    rows: ReadRows,
    at: Sequence[int],
    *,
    places: Sequence[tuple[int, int]],
    model: Model,
    reader: ReadRowsModel,
    spec: str,
    policy: Policy,
    batch: Sequence[BatchValues] | None,
) -> ReadDecisions:
    """Decide on some rows of a batch, with one call of the model.

    Args:
        rows: what the engine has read.
        at: the positions of the rows to decide on.
        places: partition and offset of each of them in the feature log.
        model: to score with, of the rows' definitions.
        reader: ``model.reader``.
        spec: digest of the specification of the model's vectors.
        policy: the thresholds.
        batch: the batch features of each row's user as of the row's event; ignored for a model that
            takes none. Not None for one that takes some.

    Raises:
        ValueError: a score is not a probability, or a place is beyond what can be kept.
    """
    columns = model.batch_columns
    if not columns or batch is None:
        batch = None
    vectors = None if batch is None else [_numbers(each, columns) for each in batch]
    scored = reader.score_read(rows, at, batch=vectors)
    decisions = Decisions(
        _form(model.ref, spec, policy),
        rows,
        positions=at,
        scores=scored.scores,
        vector_digests=scored.vector_digests,
        places=places,
        batch=None if batch is None else [_as_json(each, columns) for each in batch],
    )
    of_model = remarks_of(model)
    words = (
        [of_model] * len(at) if batch is None else [of_model + _degraded(each) for each in batch]
    )
    return ReadDecisions(decisions, scores=scored.scores, degraded=words, is_alike=batch is None)


@lru_cache(maxsize=64)
def _form(model: ModelRef, spec: str, policy: Policy) -> DecisionForm:
    constants = {
        "MODEL": orjson.dumps(model).decode(),
        "DEFINITIONS": orjson.dumps(DEFINITION_DIGEST).decode(),
        "SPEC": orjson.dumps(spec).decode(),
    }
    return decision_form(
        {
            "bands": _bands(policy),
            "rules": [
                {
                    "feature": FEATURE_NAMES.index(rule.feature),
                    "low": rule.low,
                    "width": rule.high - rule.low,
                    "weight": rule.weight,
                    "text": [_escaped(part) for part in rule.text.split("{value}")],
                }
                for rule in RULES
            ],
            "rules_max": MATCHED_RULES_MAX,
            "rule_start": _escaped(MATCHED_RULE),
            "parts": [
                _part(text, constants, is_name=at % 2 == 1)
                for at, text in enumerate(re.split(r"<(\w+)>", _LAYOUT))
            ],
        }
    )


def _part(text: str, constants: dict[str, str], *, is_name: bool) -> Any:
    if not is_name or text in constants:
        return {"text": constants.get(text, text) if is_name else text}
    if text in RowKeys._fields:
        return {"wanted": RowKeys._fields.index(text)}
    return text.lower()


def _bands(policy: Policy) -> list[dict[str, object]]:
    review, block = policy.review_threshold, policy.block_threshold
    # A score of each band. If a band has none, its sentence is never used.
    examples = ((None, review), (review, block), (block, 1.0))
    bands: list[dict[str, object]] = []
    for outcome, (above, score) in zip(OUTCOMES, examples, strict=True):
        before, after = policy.explain(score).split(f"{score:.3f}", 1)
        no_rule = None if outcome == "APPROVE" else _escaped(NO_RULE_MATCHED)
        sentence = (_escaped(before), _escaped(after))
        bands.append({"name": outcome, "above": above, "sentence": sentence, "no_rule": no_rule})
    return bands


def _escaped(text: str) -> str:
    return orjson.dumps(text).decode()[1:-1]


def _degraded(values: BatchValues) -> tuple[str, ...]:
    return () if values.degraded is None else (values.degraded,)


def _as_json(values: BatchValues, columns: Sequence[str]) -> tuple[bytes, bytes, bytes]:
    features = {column: values.features[column] for column in columns}
    as_of_ms = values.as_of_ms
    kept = b"" if as_of_ms is None else KeptBatch(as_of_ms, list(features.values())).to_json()
    return b"," + orjson.dumps(features)[1:-1], orjson.dumps(as_of_ms), kept


def _numbers(values: BatchValues, columns: Sequence[str]) -> list[float]:
    features = (values.features[column] for column in columns)
    return [nan if value is None else float(value) for value in features]
