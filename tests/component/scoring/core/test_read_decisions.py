"""The engine writes decisions as `decide_many` and `encode_decision` do, for any scores and values.

These two are the readable form of a decision, and decide on all rows that the engine has not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.batch import BATCH_NAMES
from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from features.engine.rows import ReadRows, read_rows
from features.online.batch_values import BatchValues
from models.encoding.vector import VectorSpec
from models.heuristic import RULES
from models.model import ReadRowsModel, ReadScores, Scores
from models.policy import Policy
from schemas.decision import ModelRef, Offset
from schemas.feature_row import FeatureRow
from schemas.output_codec import encode_decision, encode_feature_row
from scoring.core.decide import decide_many, for_log
from scoring.core.first_decision import FirstDecision, KeptBatch
from scoring.core.read_decisions import NOTHING_MORE, decide_read
from tests.builders import NOW_MS, transaction
from tests.scoring_fakes import feature_row

NO_DIGEST = "0" * 16
CONTEXT = b"digest"
SPEC = "spec"


class GivenScores:
    """A model that gives the scores it was made with, in the order of the rows."""

    ref = ModelRef("m", "1", "d")

    def __init__(self, scores: Sequence[float], *, batch_columns: tuple[str, ...]) -> None:
        self.scores = list(scores)
        self.batch_columns = batch_columns
        self.definition_digest: str | None = DEFINITION_DIGEST
        self.spec: VectorSpec | None = VectorSpec(("amount_minor", *batch_columns), {})
        self.reader: ReadRowsModel | None = self

    def score(self, rows: Sequence[FeatureRow]) -> Scores:
        return Scores(self.scores, [[0.0]] * len(rows))

    def score_read(
        self, rows: ReadRows, at: Sequence[int], *, batch: Sequence[Sequence[float]] | None
    ) -> ReadScores:
        return ReadScores(self.scores, [NO_DIGEST] * len(at))


# Sixteenths lie in the middle between two texts of three digits.
scores = st.floats(0, 1) | st.integers(0, 16).map(lambda number: number / 16)
limits = st.sampled_from([limit for rule in RULES for limit in (rule.low, rule.high)])
values = st.none() | st.integers(0, 10**18 - 1) | st.floats(0, 1e300) | limits
near = st.builds(lambda limit, times: limit * times, limits, st.floats(0, 2))
features = st.fixed_dictionaries(dict.fromkeys(FEATURE_NAMES, values | near))
thresholds = st.lists(st.sampled_from((0.0, 0.3, 0.5, 1 / 3, 1.0)), min_size=2, max_size=2)
batches = st.builds(
    BatchValues,
    st.fixed_dictionaries(dict.fromkeys(BATCH_NAMES, values)),
    st.none() | st.just(NOW_MS - 1),
    st.none() | st.just("batch_features_stale"),
)
rows = st.lists(st.tuples(scores, features, batches), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(rows, thresholds, st.booleans())
def test_decisions_of_the_engine_are_those_of_python(
    given_rows: list[tuple[float, dict[str, int | float | None], BatchValues]],
    policy: list[float],
    has_batch: bool,
) -> None:
    review, block = sorted(policy)
    by = Policy(review_threshold=review, block_threshold=block)
    columns = BATCH_NAMES if has_batch else ()
    model = GivenScores([score for score, _, _ in given_rows], batch_columns=columns)
    decoded = [
        replace(
            feature_row(),
            transaction=transaction(transaction_id=f"t-{at}"),
            features={name: found[name] for name in FEATURE_NAMES},
            definition_digest=DEFINITION_DIGEST,
        )
        for at, (_, found, _) in enumerate(given_rows)
    ]
    batch = [each for _, _, each in given_rows] if has_batch else None
    places = [(at % 3, at << 33) for at in range(len(decoded))]
    read = read_rows([encode_feature_row(row) for row in decoded])
    assert read.taken() == [*range(len(decoded))]
    by_engine = decide_read(
        read,
        read.taken(),
        places=places,
        model=model,
        reader=model,
        spec=SPEC,
        policy=by,
        batch=batch,
    )
    expected = decide_many(
        decoded,
        model=model,
        policy=by,
        features_offsets=[Offset(*place) for place in places],
        now_ms=NOW_MS,
        batch=batch,
    )
    assert by_engine.outcomes == [each.decision for each in expected]
    assert by_engine.encode(range(len(decoded)), now_ms=NOW_MS, more=lambda _: NOTHING_MORE) == [
        encode_decision(
            for_log(
                replace(each, vector_digest=NO_DIGEST, vector_spec=SPEC), degraded=each.degraded
            )
        )
        for each in expected
    ]
    assert by_engine.kept(range(len(decoded)), CONTEXT, now_ms=NOW_MS) == [
        FirstDecision(
            each.score,
            CONTEXT,
            each.decision,
            each.features_offset,
            NOW_MS,
            None
            if values is None or values.as_of_ms is None
            else KeptBatch(values.as_of_ms, [values.features[name] for name in columns]),
        ).pack()
        for each, values in zip(expected, batch or [None] * len(expected), strict=True)
    ]


@pytest.mark.parametrize("score", [float("nan"), -0.1, 1.1])
def test_a_score_that_is_no_probability_is_refused(score: float) -> None:
    model = GivenScores([score], batch_columns=())
    read = read_rows([encode_feature_row(feature_row())])
    with pytest.raises(ValueError, match="is not within 0 to 1; the model is faulty"):
        decide_read(
            read,
            [0],
            places=[(0, 0)],
            model=model,
            reader=model,
            spec=SPEC,
            policy=Policy(review_threshold=0.5, block_threshold=0.9),
            batch=None,
        )
