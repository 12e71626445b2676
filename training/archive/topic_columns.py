"""The columns of each archived topic, from its decoded records.

Knows what a row of each topic contains, not where in the log it was. Pure. Called by
`training.archive.columns`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from schemas.topics import DECISIONS, FEATURES, LABELS, TRANSACTIONS
from training.archive.tables import BACKFILLED

Columns = dict[str, list[Any]]
"""Values by column, one a row; ``event_time_ms`` is among them."""

_NAMES: Final = frozenset(FEATURE_NAMES)
TRANSACTION_FIELDS: Final = (
    "transaction_id",
    "user_id",
    "merchant_id",
    "amount_minor",
    "currency",
    "event_time_ms",
)
OPTIONAL_FIELDS: Final = ("device_type", "ip_country")
"""Fields of a transaction that it may lack."""
NEWER_DECISION_FIELDS: Final = (
    "batch_as_of_ms",
    "merchant_id",
    "matched_rules",
    "vector_spec",
    "vector_digest",
    "arm",
    "propensity",
    "model_ms",
)
"""Fields that older decisions lack."""
JSON_DECISION_FIELDS: Final = ("inputs", "rollout", "policy")
"""Fields that older decisions lack, kept as JSON."""
LABEL_FIELDS: Final = (
    "transaction_id",
    "merchant_id",
    "event_time_ms",
    "observed_time_ms",
    "is_fraud",
)


def topic_columns(topic: str, rows: Sequence[Any]) -> Columns:
    """Give the columns of some rows.

    Args:
        topic: one of `training.archive.tables.TABLES`, or `BACKFILLED`.
        rows: transactions or labels as objects; rows of the other topics as parsed JSON.

    Raises:
        KeyError, TypeError, AttributeError: a row is not one of this topic.
    """
    return _BY_TOPIC[topic](rows)


def _transactions(rows: Sequence[Any]) -> Columns:
    return _attributes((*TRANSACTION_FIELDS, *OPTIONAL_FIELDS), rows)


def _labels(rows: Sequence[Any]) -> Columns:
    return _attributes(LABEL_FIELDS, rows)


def _feature_rows(rows: Sequence[Mapping[str, Any]]) -> Columns:
    transactions = [row["transaction"] for row in rows]
    origins = [row["origin"] for row in rows]
    names = ("approximate", "definition_digest", "repeat", "user_sequence")
    return {
        **_fields(TRANSACTION_FIELDS, transactions),
        **{name: [row.get(name) for row in transactions] for name in OPTIONAL_FIELDS},
        **_features(rows),
        **_fields((*names, "merchant_sequence", "computed_at_ms"), rows),
        "origin_partition": [origin["partition"] for origin in origins],
        "origin_offset": [origin["offset"] for origin in origins],
        "origin_timestamp_ms": [origin["timestamp_ms"] for origin in origins],
    }


def _decisions(rows: Sequence[Mapping[str, Any]]) -> Columns:
    models = [row["model"] for row in rows]
    places = [row["features_offset"] for row in rows]
    names = ("transaction_id", "user_id", "decision", "score", "definition_digest")
    lists = ("approximate", "degraded", "reasons")
    return {
        **_fields((*names, *lists, "event_time_ms", "decided_at_ms"), rows),
        "model_name": [model["name"] for model in models],
        "model_version": [model["version"] for model in models],
        "model_digest": [model["digest"] for model in models],
        **_features(rows),
        "features_partition": [place["partition"] for place in places],
        "features_offset": [place["offset"] for place in places],
        "timings": [orjson.dumps(row["timings"]).decode() for row in rows],
        "vector": [row.get("vector") for row in rows],
        **{name: [_json(row.get(name)) for row in rows] for name in JSON_DECISION_FIELDS},
        **{name: [row.get(name) for row in rows] for name in NEWER_DECISION_FIELDS},
    }


def _features(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """Give one column a feature; values that have no column go into ``other_features``."""
    features = [row["features"] for row in rows]
    others: list[str | None] = [None] * len(rows)
    for at, row in enumerate(rows):
        # A row of the present definitions that lacks a feature raises KeyError below.
        if row["definition_digest"] == DEFINITION_DIGEST and len(features[at]) == len(_NAMES):
            continue
        unknown = {name: value for name, value in features[at].items() if name not in _NAMES}
        others[at] = orjson.dumps(unknown).decode() if unknown else None
        if row["definition_digest"] != DEFINITION_DIGEST:
            features[at] = {**dict.fromkeys(FEATURE_NAMES), **features[at]}
    return {**_fields(FEATURE_NAMES, features), "other_features": others}


def _json(value: object) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _attributes(names: Sequence[str], rows: Sequence[Any]) -> Columns:
    return {name: [getattr(row, name) for row in rows] for name in names}


def _fields(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Columns:
    return {name: [row[name] for row in rows] for name in names}


_BY_TOPIC: Final[Mapping[str, Callable[[Sequence[Any]], Columns]]] = {
    TRANSACTIONS: _transactions,
    LABELS: _labels,
    FEATURES: _feature_rows,
    BACKFILLED: _feature_rows,
    DECISIONS: _decisions,
}
