"""Bytes to events and back: the only place that decides "invalid".

What others send (transactions, labels) is read strictly:
integers are JSON integers, a field comes once, nothing is repaired. What
Weir itself wrote (feature rows, decisions) is checked for its shape only.
Every refusal is an ``InvalidEventError``. No clock: ``now_ms`` is an argument.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeVar

import orjson

from schemas.decision import Decision, ModelRef, Offset, Outcome
from schemas.errors import InvalidEventError, shown
from schemas.feature_row import FeatureRow, Origin
from schemas.fields import (
    DEVICE_TYPE_LENGTH_MAX,
    EVENT_TIME_MS_MAX,
    ID_LENGTH_MAX,
)
from schemas.label import Label
from schemas.strict_json import parse_object
from schemas.topics import HEADER_REPLAY
from schemas.transaction import Limits, Transaction

__all__ = [
    "check_id",
    "decode_decision",
    "decode_feature_row",
    "decode_label",
    "decode_transaction",
    "encode_decision",
    "encode_feature_row",
    "encode_label",
    "encode_transaction",
    "parse_object",
    "transaction_from_object",
]

_T = TypeVar("_T")

_MISSING: Final = object()

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_CURRENCY = re.compile(r"[A-Z]{3}").fullmatch
_COUNTRY = re.compile(r"[A-Z]{2}").fullmatch

_FEATURE_TYPES = frozenset({int, float, type(None)})
_OUTCOMES: Mapping[object, Outcome] = {"APPROVE": "APPROVE", "REVIEW": "REVIEW", "BLOCK": "BLOCK"}


def decode_transaction(
    value: bytes | None, *, limits: Limits, now_ms: int, is_replay: bool
) -> Transaction:
    """Read one transaction as a producer sent it.

    Args:
        value: the record's value; None is a tombstone.
        limits: what this deployment accepts.
        now_ms: the clock, ms since 1970 UTC.
        is_replay: the record says it is a replay; its time may be ahead of the clock.

    Raises:
        InvalidEventError: anything at all is wrong; it names field, value and limit.
    """
    return transaction_from_object(
        parse_object(value), limits=limits, now_ms=now_ms, is_replay=is_replay
    )


def transaction_from_object(
    obj: Mapping[str, object], *, limits: Limits, now_ms: int, is_replay: bool
) -> Transaction:
    """Read one transaction from JSON that is already parsed, by the same rules.

    Whoever parsed it must have refused duplicate fields and NaN; an integer must
    still be an ``int``. Unknown fields are left aside.

    Raises:
        InvalidEventError: anything at all is wrong; it names field, value and limit.
    """
    transaction = _transaction(obj)
    if transaction.currency != limits.currency:
        _refuse(
            "currency",
            f"is {transaction.currency!r}, this deployment settles in {limits.currency} only "
            "(WEIR_CURRENCY)",
        )
    if transaction.amount_minor > limits.amount_minor_max:
        _refuse(
            "amount_minor",
            f"is {shown(transaction.amount_minor)}, limit amount_minor_max="
            f"{limits.amount_minor_max} minor units",
        )
    _check_event_time(transaction.event_time_ms, limits)
    if not is_replay:
        _check_not_ahead("event_time_ms", transaction.event_time_ms, limits, now_ms)
    return transaction


def check_id(value: object, *, field: str) -> str:
    """Give an id back when it may be one: 1 to 128 characters, not blank, no control character.

    Raises:
        InvalidEventError: it may not; ``field`` is the name it is called by.
    """
    return _text({field: value}, field, ID_LENGTH_MAX)


def decode_label(value: bytes | None, *, limits: Limits, now_ms: int, is_replay: bool) -> Label:
    """Read one label as somebody sent it; arguments as in ``decode_transaction``.

    Raises:
        InvalidEventError: anything is wrong, or it was observed before its
            transaction happened, or (not a replay) ahead of the clock.
    """
    obj = parse_object(value)
    label = Label(
        transaction_id=_text(obj, "transaction_id", ID_LENGTH_MAX),
        merchant_id=_text(obj, "merchant_id", ID_LENGTH_MAX),
        event_time_ms=_time_ms(obj, "event_time_ms"),
        observed_time_ms=_time_ms(obj, "observed_time_ms"),
        is_fraud=_boolean(obj, "is_fraud"),
    )
    _check_event_time(label.event_time_ms, limits)
    if label.observed_time_ms < label.event_time_ms:
        _refuse(
            "observed_time_ms",
            f"is {label.observed_time_ms}, before the transaction itself: "
            f"event_time_ms={label.event_time_ms}",
        )
    if not is_replay:
        _check_not_ahead("observed_time_ms", label.observed_time_ms, limits, now_ms)
    return label


def decode_feature_row(value: bytes | None) -> FeatureRow:
    """Read a feature row that Weir wrote.

    Raises:
        InvalidEventError: it is not one, or not a whole one.
    """
    obj = _own_object(value)
    origin = _own(obj, "origin", dict)
    return FeatureRow(
        transaction=_transaction(_own(obj, "transaction", dict)),
        features=_features(obj),
        approximate=_names(obj, "approximate"),
        definition_digest=_own(obj, "definition_digest", str),
        repeat=_own(obj, "repeat", bool),
        user_sequence=_own(obj, "user_sequence", int),
        merchant_sequence=_own(obj, "merchant_sequence", int),
        origin=Origin(
            partition=_own(origin, "partition", int),
            offset=_own(origin, "offset", int),
            timestamp_ms=_own(origin, "timestamp_ms", int),
        ),
        computed_at_ms=_own(obj, "computed_at_ms", int),
    )


def decode_decision(value: bytes | None) -> Decision:
    """Read a decision that Weir wrote; a null in its vector becomes NaN.

    Raises:
        InvalidEventError: it is not one, or not a whole one.
    """
    obj = _own_object(value)
    model = _own(obj, "model", dict)
    place = _own(obj, "features_offset", dict)
    return Decision(
        transaction_id=_text(obj, "transaction_id", ID_LENGTH_MAX),
        user_id=_text(obj, "user_id", ID_LENGTH_MAX),
        decision=_outcome(obj),
        score=_score(obj),
        model=ModelRef(
            name=_own(model, "name", str),
            version=_own(model, "version", str),
            digest=_own(model, "digest", str),
        ),
        features=_features(obj),
        vector=_vector(obj),
        features_offset=Offset(
            partition=_own(place, "partition", int), offset=_own(place, "offset", int)
        ),
        definition_digest=_own(obj, "definition_digest", str),
        approximate=_names(obj, "approximate"),
        degraded=_names(obj, "degraded"),
        reasons=_names(obj, "reasons"),
        event_time_ms=_own(obj, "event_time_ms", int),
        timings=_timings(obj),
        decided_at_ms=_own(obj, "decided_at_ms", int),
        batch_as_of_ms=(
            None if obj.get("batch_as_of_ms") is None else _own(obj, "batch_as_of_ms", int)
        ),
    )


def encode_transaction(transaction: Transaction) -> bytes:
    """Write a transaction as JSON, fields in their order, absent ones left out."""
    return orjson.dumps(transaction.to_wire())


def encode_label(label: Label) -> bytes:
    """Write a label as JSON, fields in their order."""
    return orjson.dumps(label)


def encode_feature_row(row: FeatureRow) -> bytes:
    """Write a feature row as JSON, fields in their order; equal rows give equal bytes."""
    return orjson.dumps(
        {
            "transaction": row.transaction.to_wire(),
            "features": row.features,
            "approximate": row.approximate,
            "definition_digest": row.definition_digest,
            "repeat": row.repeat,
            "user_sequence": row.user_sequence,
            "merchant_sequence": row.merchant_sequence,
            "origin": row.origin,
            "computed_at_ms": row.computed_at_ms,
        }
    )


def encode_decision(decision: Decision) -> bytes:
    """Write a decision as JSON, fields in their order; NaN in its vector becomes null."""
    return orjson.dumps(decision)


# --- what others send ------------------------------------------------------


def _transaction(obj: Mapping[str, object]) -> Transaction:
    """Read the fields, each by itself; what depends on the deployment comes after."""
    device_type = obj.get("device_type")
    ip_country = obj.get("ip_country")
    return Transaction(
        _text(obj, "transaction_id", ID_LENGTH_MAX),
        _text(obj, "user_id", ID_LENGTH_MAX),
        _text(obj, "merchant_id", ID_LENGTH_MAX),
        _not_negative(obj, "amount_minor"),
        _code(obj, "currency", _CURRENCY, "ISO 4217 code, three capital letters"),
        _time_ms(obj, "event_time_ms"),
        None if device_type is None else _text(obj, "device_type", DEVICE_TYPE_LENGTH_MAX),
        None
        if ip_country is None
        else _code(obj, "ip_country", _COUNTRY, "ISO 3166-1 code, two capital letters"),
    )


def _text(obj: Mapping[str, object], field: str, length_max: int) -> str:
    value = obj.get(field, _MISSING)
    # Printable text has no control character and no surrogate; most text is that.
    if (
        type(value) is str
        and 0 < len(value) <= length_max
        and value.isprintable()
        and not value.isspace()
    ):
        return value
    return _text_looked_at_closely(value, field, length_max)


def _text_looked_at_closely(value: object, field: str, length_max: int) -> str:
    if type(value) is not str:
        _refuse_type(field, value, "text")
    if len(value) > length_max:
        _refuse(field, f"has {len(value)} characters, limit {length_max}: {shown(value)}")
    if not value or value.isspace():
        _refuse(field, f"is blank: {shown(value)}")
    if _CONTROL.search(value):
        _refuse(field, f"has a control character: {shown(value)}")
    if _SURROGATE.search(value):
        _refuse(field, f"has a lone surrogate, which is not a character: {shown(value)}")
    return value


def _code(obj: Mapping[str, object], field: str, fullmatch: Any, meaning: str) -> str:
    value = obj.get(field, _MISSING)
    if type(value) is not str:
        _refuse_type(field, value, f"text: an {meaning}")
    if fullmatch(value) is None:
        _refuse(field, f"is {shown(value)}, must be an {meaning}")
    return value


def _not_negative(obj: Mapping[str, object], field: str) -> int:
    value = obj.get(field, _MISSING)
    if type(value) is not int:
        _refuse_type(field, value, "a JSON integer, without fraction, exponent or quotes")
    if value < 0:
        _refuse(field, f"is {shown(value)}, limit 0")
    return value


def _time_ms(obj: Mapping[str, object], field: str) -> int:
    value = _not_negative(obj, field)
    if value > EVENT_TIME_MS_MAX:
        _refuse(field, f"is {shown(value)}, limit {EVENT_TIME_MS_MAX} ms, the end of the year 9999")
    return value


def _boolean(obj: Mapping[str, object], field: str) -> bool:
    value = obj.get(field, _MISSING)
    if type(value) is not bool:
        _refuse_type(field, value, "true or false")
    return value


def _check_event_time(event_time_ms: int, limits: Limits) -> None:
    if event_time_ms < limits.event_time_ms_min:
        _refuse(
            "event_time_ms",
            f"is {event_time_ms}, limit event_time_ms_min={limits.event_time_ms_min} ms since 1970",
        )


def _check_not_ahead(field: str, time_ms: int, limits: Limits, now_ms: int) -> None:
    ahead_ms = time_ms - now_ms
    if ahead_ms > limits.event_ahead_ms_max:
        _refuse(
            field,
            f"is {time_ms}, {ahead_ms} ms ahead of the clock, limit event_ahead_ms_max="
            f"{limits.event_ahead_ms_max}; only a replay ({HEADER_REPLAY}: 1) may be",
        )


def _refuse_type(field: str, value: object, wanted: str) -> NoReturn:
    if value is _MISSING:
        _refuse(field, f"is missing, must be {wanted}")
    _refuse(field, f"is {shown(value)}, must be {wanted}")


def _refuse(field: str | None, reason: str) -> NoReturn:
    # Without its cause: the reason says it all, and the cause may hold the whole value.
    raise InvalidEventError(field, reason) from None


# --- what Weir wrote -------------------------------------------------------------------


def _own_object(value: bytes | None) -> dict[str, Any]:
    if value is None:
        _refuse(None, "is null: a tombstone is not an event")
    try:
        obj = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        _refuse(None, f"is not JSON: {error}")
    if type(obj) is not dict:
        _refuse(None, f"must be a JSON object, is {shown(obj)}")
    return obj


def _own(obj: Mapping[str, Any], field: str, kind: type[_T]) -> _T:
    value = obj.get(field, _MISSING)
    if type(value) is not kind:
        _refuse_type(field, value, kind.__name__)
    return value


def _features(obj: Mapping[str, Any]) -> dict[str, int | float | None]:
    features: dict[str, int | float | None] = _own(obj, "features", dict)
    if not _FEATURE_TYPES.issuperset(map(type, features.values())):
        name = next(n for n, v in features.items() if type(v) not in _FEATURE_TYPES)
        _refuse("features", f"has {shown(features[name])} for {shown(name)}, must be a number")
    return features


def _names(obj: Mapping[str, Any], field: str) -> tuple[str, ...]:
    names = _own(obj, field, list)
    if not all(type(name) is str for name in names):
        _refuse(field, "must be a list of text")
    return tuple(names)


def _outcome(obj: Mapping[str, Any]) -> Outcome:
    text = _own(obj, "decision", str)
    outcome = _OUTCOMES.get(text)
    if outcome is None:
        _refuse("decision", f"is {shown(text)}, must be one of {', '.join(map(str, _OUTCOMES))}")
    return outcome


def _score(obj: Mapping[str, Any]) -> float:
    score = obj.get("score", _MISSING)
    if type(score) not in (float, int):
        _refuse_type("score", score, "a number")
    if not 0 <= score <= 1:
        _refuse("score", f"is {shown(score)}, limits 0 and 1")
    return float(score)


def _vector(obj: Mapping[str, Any]) -> list[float] | None:
    vector = obj.get("vector", _MISSING)
    if vector is None:
        return None
    if type(vector) is not list or not _FEATURE_TYPES.issuperset(map(type, vector)):
        _refuse_type("vector", vector, "a list of numbers, or null")
    return [math.nan if number is None else float(number) for number in vector]


def _timings(obj: Mapping[str, Any]) -> dict[str, int]:
    timings: dict[str, int] = _own(obj, "timings", dict)
    if not all(type(time_ms) is int for time_ms in timings.values()):
        _refuse("timings", "must be a name and a time in ms, each")
    return timings
