"""Valid events for tests, each field open to change.

``transaction_object(user_id="u-7")`` is the JSON object, ``transaction(...)`` the type.
Everything happens around ``NOW_MS``, so that no test needs a clock.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from schemas.decision import Decision, ModelRef, Offset
from schemas.feature_row import FeatureRow, Origin
from schemas.label import Label
from schemas.transaction import Limits, Transaction

NOW_MS = 1_795_478_400_000
"""2026-11-24T00:00:00Z, what tests call now."""

LIMITS = Limits()

TRANSACTION = Transaction(
    transaction_id="t-1",
    user_id="u-1",
    merchant_id="m-1",
    amount_minor=1_999,
    currency="EUR",
    event_time_ms=NOW_MS,
    device_type="mobile",
    ip_country="DE",
)

LABEL = Label(
    transaction_id="t-1",
    merchant_id="m-1",
    event_time_ms=NOW_MS - 60_000,
    observed_time_ms=NOW_MS,
    is_fraud=True,
)

FEATURE_ROW = FeatureRow(
    transaction=TRANSACTION,
    features={"user_transaction_count_5m": 3, "user_amount_mean_5m": 12.5, "other": None},
    approximate=("user_amount_mean_5m",),
    definition_digest="0123456789abcdef",
    repeat=False,
    user_sequence=3,
    merchant_sequence=7,
    origin=Origin(partition=2, offset=41, timestamp_ms=NOW_MS - 5),
    computed_at_ms=NOW_MS,
)

DECISION = Decision(
    transaction_id="t-1",
    user_id="u-1",
    decision="REVIEW",
    score=0.75,
    model=ModelRef(name="weir-fraud", version="3", digest="fedcba9876543210"),
    features={"user_transaction_count_5m": 3, "user_amount_mean_5m": 12.5, "other": None},
    vector=[1_999.0, 3.0, 12.5],
    features_offset=Offset(partition=2, offset=41),
    definition_digest="0123456789abcdef",
    approximate=("user_amount_mean_5m",),
    degraded=(),
    reasons=("score 0.75 is above review_threshold 0.5",),
    event_time_ms=NOW_MS,
    timings={"transaction_timestamp_ms": NOW_MS - 5, "features_at_ms": NOW_MS},
    decided_at_ms=NOW_MS + 3,
    merchant_id="m-1",
    matched_rules=("3 transactions in 5 minutes",),
)


def transaction(**changes: Any) -> Transaction:
    """Give a valid transaction with these fields changed."""
    return replace(TRANSACTION, **changes)


def transaction_object(**changes: Any) -> dict[str, Any]:
    """Give a transaction's JSON object; any value may stand in it."""
    return {**TRANSACTION.to_wire(), **changes}


def label_object(**changes: Any) -> dict[str, Any]:
    """Give a label's JSON object; any value may stand in it."""
    fields = {name: getattr(LABEL, name) for name in LABEL.__slots__}
    return {**fields, **changes}


def without(obj: dict[str, Any], field: str) -> dict[str, Any]:
    """Give the object without one of its fields."""
    return {name: value for name, value in obj.items() if name != field}


def wire(obj: object) -> bytes:
    """Give the bytes a producer sends; a lone surrogate is sent as an escape."""
    return json.dumps(obj).encode()
