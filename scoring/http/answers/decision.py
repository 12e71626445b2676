"""The answer of GET /decisions: a decision of the stream, byte for byte as it was emitted.

There is no model to serialise: the stored bytes are the answer. The schema and the example come
from `schemas.decision`, so they cannot differ from what the scorer emits.
"""

from __future__ import annotations

from features.definitions import DEFINITION_DIGEST
from schemas.decision import Decision, Offset, RolloutRef
from schemas.json_schema import schema_of
from scoring.http.answers import EXAMPLE_FEATURES, EXAMPLE_MODEL, EXAMPLE_NOW_MS, EXAMPLE_ROLLOUT

SCHEMA = schema_of(Decision)

EXAMPLE = Decision(
    transaction_id="t-1",
    user_id="u-1",
    decision="APPROVE",
    score=0.0312,
    model=EXAMPLE_MODEL,
    features=EXAMPLE_FEATURES,
    vector=[4250.0, 1.0, 0.0],
    features_offset=Offset(partition=2, offset=8121),
    definition_digest=DEFINITION_DIGEST,
    approximate=(),
    degraded=(),
    reasons=("score 0.031 is not above 0.5",),
    merchant_id="m-1",
    event_time_ms=EXAMPLE_NOW_MS,
    timings={
        "transaction_timestamp_ms": EXAMPLE_NOW_MS + 2,
        "features_at_ms": EXAMPLE_NOW_MS + 6,
        "scored_at_ms": EXAMPLE_NOW_MS + 9,
    },
    decided_at_ms=EXAMPLE_NOW_MS + 9,
    batch_as_of_ms=EXAMPLE_NOW_MS - 7_200_000,
    inputs={"amount_minor": 4_250, "ip_country": "DE"},
    vector_spec="0f64b1c86a2d93e7",
    vector_digest="5d1e0a93c47fb208",
    rollout=RolloutRef(EXAMPLE_ROLLOUT.rollout_id, EXAMPLE_ROLLOUT.revision),
    arm="control",
    propensity=0.95,
    model_ms=1.25,
)
