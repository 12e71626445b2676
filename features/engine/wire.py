"""What events, labels and rows look like, as data for the native engine.

The engine decodes a record only if it is plainly valid by this data; it leaves every other record
to ``schemas.codec``, which decides and words the error. So this module describes what the codec
accepts and must not describe more. Pure; ``job.py`` passes it on.
"""

from __future__ import annotations

import json
from typing import Final

from features.definitions import ON_DEMAND_FEATURES
from features.engine.plan import ENTITIES
from schemas import topics
from schemas.fields import DEVICE_TYPE_LENGTH_MAX, EVENT_TIME_MS_MAX, ID_LENGTH_MAX
from schemas.transaction import Limits

ROW_SOURCE: Final = "/weir/streams"
"""The header ``ce_source`` of feature rows."""

_CALENDAR: Final = {"hour_of_day": "hour", "is_weekend": "weekend", "is_night": "night"}
"""The engine's function for each feature of the event itself."""

_Field = dict[str, object]


def wire_json(limits: Limits) -> str:
    """Give the description of all records; native/src/wire.rs reads it.

    Args:
        limits: what this deployment accepts.
    """
    return json.dumps(
        {
            "type_header": topics.HEADER_TYPE,
            "own_types_start": topics.OWN_TYPES_START,
            "replay_header": topics.HEADER_REPLAY,
            "passed_on": {
                "headers": topics.PASSED_ON_HEADERS,
                "bytes_max": topics.PASSED_ON_BYTES_MAX,
            },
            "times": {
                "min_ms": limits.event_time_ms_min,
                "ahead_max_ms": limits.event_ahead_ms_max,
                "replay_ahead_max_ms": limits.replay_ahead_ms_max,
            },
            "event": _event(limits),
            "label": _label(),
            "row": _row(),
        }
    )


def event_fields(limits: Limits) -> list[_Field]:
    """Give the fields of a transaction, in the order of `schemas.transaction.Transaction`."""
    return [
        _text("transaction_id"),
        _text("user_id"),
        _text("merchant_id"),
        _integer("amount_minor", limits.amount_minor_max),
        _capitals("currency", length=3, only=limits.currency),
        _integer("event_time_ms", EVENT_TIME_MS_MAX),
        {**_text("device_type", DEVICE_TYPE_LENGTH_MAX), "is_optional": True},
        {**_capitals("ip_country", length=2, only=None), "is_optional": True},
    ]


def label_fields() -> list[_Field]:
    """Give the fields of a label, in the order of `schemas.label.Label`."""
    return [
        _text("transaction_id"),
        _text("merchant_id"),
        _integer("event_time_ms", EVENT_TIME_MS_MAX),
        _integer("observed_time_ms", EVENT_TIME_MS_MAX),
        {"name": "is_fraud", "kind": "boolean"},
    ]


def _event(limits: Limits) -> _Field:
    return {
        "topic": topics.TRANSACTIONS,
        "event_type": topics.TRANSACTION_TYPE,
        "fields": event_fields(limits),
        "id": "transaction_id",
        "time": "event_time_ms",
        "value": "amount_minor",
        "keys": [planned.key_field for planned in ENTITIES],
        "distinct": [planned.distinct_field for planned in ENTITIES],
    }


def _label() -> _Field:
    (entity,) = (at for at, planned in enumerate(ENTITIES) if planned.has_labels)
    return {
        "topic": topics.LABELS,
        "event_type": topics.LABEL_TYPE,
        "fields": label_fields(),
        "id": "transaction_id",
        "time": "event_time_ms",
        "observed": "observed_time_ms",
        "says": "is_fraud",
        "key": ENTITIES[entity].key_field,
        "entity": entity,
    }


def _row() -> _Field:
    return {
        "topic": topics.FEATURES,
        "event_type": topics.FEATURE_ROW_TYPE,
        "source": ROW_SOURCE,
        "event_name": "transaction",
        "sequence_names": [planned.sequence_field for planned in ENTITIES],
        "on_demand": [
            {"name": feature.name, "function": _CALENDAR[feature.name]}
            for feature in ON_DEMAND_FEATURES
        ],
    }


def _text(name: str, length_max: int = ID_LENGTH_MAX) -> _Field:
    return {"name": name, "kind": "text", "length_max": length_max}


def _capitals(name: str, *, length: int, only: str | None) -> _Field:
    return {"name": name, "kind": "capitals", "length": length, "only": only}


def _integer(name: str, largest: int) -> _Field:
    return {"name": name, "kind": "integer", "max": largest}
