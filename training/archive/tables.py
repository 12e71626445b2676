"""The tables of the archive: their columns and types. Pure: knows no storage and no Kafka.

A row is a record of the log: its offset, and its fields as typed columns. A record that cannot be
decoded is kept as bytes in ``unread``.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from features.definitions import FEATURE_NAMES, MERCHANT_FEATURES, USER_FEATURES
from schemas.topics import DECISIONS, FEATURES, LABELS, TRANSACTIONS

TABLES: Final = (TRANSACTIONS, LABELS, FEATURES, DECISIONS)
"""The archived topics. Each table has the name of its topic."""

BACKFILLED: Final = "backfilled_features"
"""Feature rows of the present definitions that `weir backfill` computed to replace rows of other
definitions. They are in no log; each has the log offset and the times of the row it replaces."""

LABEL_CORRECTIONS: Final = "label_corrections"
"""Labels that named another merchant than their transaction's, with the right one. The label
checker (`operations.labels`) has sent the right label to the topic. The offsets are the wrong
label's."""

DAY: Final = "event_date"
"""The column by which tables are partitioned: the day of the event time, UTC. For a record that
cannot be decoded it is the day of Kafka's timestamp."""

_FRACTIONS: Final = frozenset(
    feature.name
    for feature in (*USER_FEATURES, *MERCHANT_FEATURES)
    if feature.value_type == "double"
)

FEATURE_FIELDS: Final = tuple(
    pa.field(name, pa.float64() if name in _FRACTIONS else pa.int64()) for name in FEATURE_NAMES
)
"""One column a feature; null means "no value"."""

_TEXTS: Final = pa.list_(pa.string())

_TRANSACTION: Final = (
    pa.field("transaction_id", pa.string()),
    pa.field("user_id", pa.string()),
    pa.field("merchant_id", pa.string()),
    pa.field("amount_minor", pa.int64()),
    pa.field("currency", pa.string()),
    pa.field("event_time_ms", pa.int64()),
    pa.field("device_type", pa.string()),
    pa.field("ip_country", pa.string()),
)

_LABEL: Final = (
    pa.field("transaction_id", pa.string()),
    pa.field("merchant_id", pa.string()),
    pa.field("event_time_ms", pa.int64()),
    pa.field("observed_time_ms", pa.int64()),
    pa.field("is_fraud", pa.bool_()),
)

_FEATURE_ROW: Final = (
    *_TRANSACTION,
    *FEATURE_FIELDS,
    # JSON: features of other definitions, which have no column here.
    pa.field("other_features", pa.string()),
    pa.field("approximate", _TEXTS),
    pa.field("definition_digest", pa.string()),
    pa.field("repeat", pa.bool_()),
    pa.field("user_sequence", pa.int64()),
    pa.field("merchant_sequence", pa.int64()),
    pa.field("origin_partition", pa.int32()),
    pa.field("origin_offset", pa.int64()),
    pa.field("origin_timestamp_ms", pa.int64()),
    pa.field("computed_at_ms", pa.int64()),
)

_DECISION: Final = (
    pa.field("transaction_id", pa.string()),
    pa.field("user_id", pa.string()),
    pa.field("decision", pa.string()),
    pa.field("score", pa.float64()),
    pa.field("model_name", pa.string()),
    pa.field("model_version", pa.string()),
    pa.field("model_digest", pa.string()),
    *FEATURE_FIELDS,
    pa.field("other_features", pa.string()),
    pa.field("vector", pa.list_(pa.float64())),
    pa.field("features_partition", pa.int32()),
    pa.field("features_offset", pa.int64()),
    pa.field("definition_digest", pa.string()),
    pa.field("approximate", _TEXTS),
    pa.field("degraded", _TEXTS),
    pa.field("reasons", _TEXTS),
    pa.field("event_time_ms", pa.int64()),
    # JSON: for each stage its clock, ms since 1970 UTC.
    pa.field("timings", pa.string()),
    pa.field("decided_at_ms", pa.int64()),
    # Null in decisions that were made before these fields existed.
    pa.field("batch_as_of_ms", pa.int64()),
    pa.field("merchant_id", pa.string()),
    pa.field("matched_rules", _TEXTS),
    # JSON: the fields of the transaction that the vector contains. Without them, as in decisions
    # made before, `vector` is not null if a model scored.
    pa.field("inputs", pa.string()),
    pa.field("vector_spec", pa.string()),
    pa.field("vector_digest", pa.string()),
    # JSON: of a rollout, and of what could give the outcome beside the thresholds.
    pa.field("rollout", pa.string()),
    pa.field("policy", pa.string()),
    pa.field("arm", pa.string()),
    pa.field("propensity", pa.float64()),
    pa.field("model_ms", pa.float64()),
)

_PLACE: Final = (
    pa.field("event_time", pa.timestamp("us", "UTC")),
    pa.field("log_partition", pa.int32()),
    pa.field("log_offset", pa.int64()),
    pa.field("log_timestamp_ms", pa.int64()),
    pa.field("is_readable", pa.bool_()),
    pa.field("unread", pa.binary()),
    pa.field(DAY, pa.date32()),
)

SCHEMAS: Final = {
    TRANSACTIONS: pa.schema([*_TRANSACTION, *_PLACE]),
    LABELS: pa.schema([*_LABEL, *_PLACE]),
    FEATURES: pa.schema([*_FEATURE_ROW, *_PLACE]),
    DECISIONS: pa.schema([*_DECISION, *_PLACE]),
    BACKFILLED: pa.schema([*_FEATURE_ROW, *_PLACE]),
    LABEL_CORRECTIONS: pa.schema(
        [
            *_LABEL,
            pa.field("reported_merchant_id", pa.string()),
            pa.field("log_partition", pa.int32()),
            pa.field("log_offset", pa.int64()),
            pa.field("corrected_at_ms", pa.int64()),
            pa.field(DAY, pa.date32()),
        ]
    ),
}
"""The columns of each table. Times are ms since 1970 UTC, money is in minor units."""

TRANSACTION_COLUMNS = (
    "transaction_id",
    "user_id",
    "merchant_id",
    "amount_minor",
    "event_time_ms",
    "device_type",
    "ip_country",
)
"""Columns of a table of feature rows that come from the transaction. The others are the features,
``log_partition`` and ``log_offset``."""

LABEL_COLUMNS = (
    "transaction_id",
    "event_time_ms",
    "observed_time_ms",
    "is_fraud",
    "log_partition",
    "log_offset",
)
"""Columns of a table of labels."""
