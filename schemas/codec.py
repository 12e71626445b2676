"""Transactions and labels: bytes to events and back.

The only place that decides whether an event from outside is valid. Reading is strict: integers are
JSON integers, a field comes once, nothing is repaired. Every refusal is an ``InvalidEventError``
that names every wrong field, the first one as its ``field``.
Knows no clock: ``now_ms`` is an argument. The velocity job, the API, the archive and parity call
it; what Weir itself writes is read by ``schemas/output_codec.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

import orjson

from schemas.errors import InvalidEventError, shown, shown_time
from schemas.faults import error_of_all_fields
from schemas.field_readers import (
    read_boolean,
    read_code,
    read_not_negative,
    read_text,
    read_time_ms,
    refuse,
)
from schemas.fields import DEVICE_TYPE_LENGTH_MAX, ID_LENGTH_MAX
from schemas.label import Label
from schemas.strict_json import parse_object
from schemas.topics import HEADER_REPLAY, INPUT_BYTES_MAX
from schemas.transaction import Limits, Transaction

_CURRENCY = re.compile(r"[A-Z]{3}").fullmatch
_COUNTRY = re.compile(r"[A-Z]{2}").fullmatch


def decode_transaction(
    value: bytes | None,
    *,
    limits: Limits,
    now_ms: int,
    is_replay: bool,
    record_ms: int | None = None,
) -> Transaction:
    """Read one transaction as a producer sent it.

    Args:
        value: the record's value; None is a tombstone.
        limits: what this deployment accepts.
        now_ms: the clock, ms since 1970 UTC.
        is_replay: the record says that it is a replay; its time may be ahead of the clock.
        record_ms: Kafka's timestamp of the record, with which a replay is compared instead, ms
            since 1970 UTC; None compares it with nothing.

    Raises:
        InvalidEventError: any rule is broken; names each wrong field, its value and the limit.
    """
    _check_size(value)
    transaction = transaction_from_object(
        parse_object(value), limits=limits, now_ms=now_ms, is_replay=is_replay
    )
    if is_replay and record_ms is not None:
        _check_replayed(transaction.event_time_ms, limits, record_ms)
    return transaction


def transaction_from_object(
    obj: Mapping[str, object], *, limits: Limits, now_ms: int, is_replay: bool
) -> Transaction:
    """Read one transaction from JSON that is already parsed, by the same rules.

    The parser must have refused duplicate fields and NaN; an integer must still be an ``int``.
    Unknown fields are ignored.

    Raises:
        InvalidEventError: any rule is broken; names each wrong field, its value and the limit.
    """
    try:
        return _transaction_within_limits(obj, limits, now_ms, is_replay)
    except InvalidEventError:
        raise error_of_all_fields(
            partial(_transaction_within_limits, limits=limits, now_ms=now_ms, is_replay=is_replay),
            obj,
            valid=_valid_transaction(limits),
        ) from None


def read_transaction(obj: Mapping[str, object]) -> Transaction:
    """Read the fields of a transaction, each by its own rule, without a deployment's limits.

    Raises:
        InvalidEventError: a field is missing, or breaks its rule.
    """
    device_type = obj.get("device_type")
    ip_country = obj.get("ip_country")
    return Transaction(
        read_text(obj, "transaction_id", ID_LENGTH_MAX),
        read_text(obj, "user_id", ID_LENGTH_MAX),
        read_text(obj, "merchant_id", ID_LENGTH_MAX),
        read_not_negative(obj, "amount_minor"),
        read_code(obj, "currency", _CURRENCY, "ISO 4217 code, three capital letters"),
        read_time_ms(obj, "event_time_ms"),
        None if device_type is None else read_text(obj, "device_type", DEVICE_TYPE_LENGTH_MAX),
        None
        if ip_country is None
        else read_code(obj, "ip_country", _COUNTRY, "ISO 3166-1 code, two capital letters"),
    )


def check_id(value: object, *, field: str) -> str:
    """Give an id back if it is valid: 1 to 128 characters, not blank, no control character.

    Raises:
        InvalidEventError: it is not; the message calls it ``field``.
    """
    return read_text({field: value}, field, ID_LENGTH_MAX)


def decode_label(value: bytes | None, *, limits: Limits, now_ms: int, is_replay: bool) -> Label:
    """Read one label as a producer sent it; arguments as in ``decode_transaction``.

    Raises:
        InvalidEventError: any rule is broken, the label was observed before its transaction
            happened, or (not in a replay) its time is ahead of the clock.
    """
    _check_size(value)
    obj = parse_object(value)
    try:
        label = _label_within_limits(obj, limits, now_ms, is_replay)
    except InvalidEventError:
        raise error_of_all_fields(
            partial(_label_within_limits, limits=limits, now_ms=now_ms, is_replay=is_replay),
            obj,
            valid=_valid_label(limits),
        ) from None
    if label.observed_time_ms < label.event_time_ms:
        refuse(
            "observed_time_ms",
            f"is {shown_time(label.observed_time_ms)}, before the transaction itself: "
            f"event_time_ms={shown_time(label.event_time_ms)}",
        )
    return label


def encode_transaction(transaction: Transaction) -> bytes:
    """Write a transaction as JSON, fields in their order, absent ones left out."""
    return orjson.dumps(transaction.to_wire())


def encode_label(label: Label) -> bytes:
    """Write a label as JSON, fields in their order."""
    return orjson.dumps(label)


def _check_size(value: bytes | None) -> None:
    if value is not None and len(value) > INPUT_BYTES_MAX:
        refuse(None, f"has {len(value)} bytes, limit {INPUT_BYTES_MAX}")


def _transaction_within_limits(
    obj: Mapping[str, object], limits: Limits, now_ms: int, is_replay: bool
) -> Transaction:
    transaction = read_transaction(obj)
    if transaction.currency != limits.currency:
        refuse(
            "currency",
            f"is {transaction.currency!r}, this deployment settles in {limits.currency} only "
            "(WEIR_CURRENCY)",
        )
    if transaction.amount_minor > limits.amount_minor_max:
        refuse(
            "amount_minor",
            f"is {shown(transaction.amount_minor)}, limit amount_minor_max="
            f"{limits.amount_minor_max} minor units",
        )
    _check_event_time(transaction.event_time_ms, limits)
    if not is_replay:
        _check_not_ahead("event_time_ms", transaction.event_time_ms, limits, now_ms)
    return transaction


def _label_within_limits(
    obj: Mapping[str, object], limits: Limits, now_ms: int, is_replay: bool
) -> Label:
    """Read a label and check each field by itself, not yet the order of its two times."""
    label = Label(
        transaction_id=read_text(obj, "transaction_id", ID_LENGTH_MAX),
        merchant_id=read_text(obj, "merchant_id", ID_LENGTH_MAX),
        event_time_ms=read_time_ms(obj, "event_time_ms"),
        observed_time_ms=read_time_ms(obj, "observed_time_ms"),
        is_fraud=read_boolean(obj, "is_fraud"),
    )
    _check_event_time(label.event_time_ms, limits)
    if not is_replay:
        _check_not_ahead("observed_time_ms", label.observed_time_ms, limits, now_ms)
    return label


def _valid_transaction(limits: Limits) -> dict[str, object]:
    """Give fields that every deployment with these limits accepts."""
    return {
        "transaction_id": "-",
        "user_id": "-",
        "merchant_id": "-",
        "amount_minor": 0,
        "currency": limits.currency,
        "event_time_ms": limits.event_time_ms_min,
        "device_type": None,
        "ip_country": None,
    }


def _valid_label(limits: Limits) -> dict[str, object]:
    return {
        "transaction_id": "-",
        "merchant_id": "-",
        "event_time_ms": limits.event_time_ms_min,
        "observed_time_ms": limits.event_time_ms_min,
        "is_fraud": False,
    }


def _check_event_time(event_time_ms: int, limits: Limits) -> None:
    if event_time_ms < limits.event_time_ms_min:
        refuse(
            "event_time_ms",
            f"is {shown_time(event_time_ms)}, limit event_time_ms_min="
            f"{shown_time(limits.event_time_ms_min)}",
        )


def _check_not_ahead(field: str, time_ms: int, limits: Limits, now_ms: int) -> None:
    ahead_ms = time_ms - now_ms
    if ahead_ms > limits.event_ahead_ms_max:
        refuse(
            field,
            f"is {shown_time(time_ms)}, {ahead_ms} ms ahead of the clock, limit event_ahead_ms_max="
            f"{limits.event_ahead_ms_max}; only a replay ({HEADER_REPLAY}: 1) may be",
        )


def _check_replayed(event_time_ms: int, limits: Limits, record_ms: int) -> None:
    """Compare a replayed event with its record, so that the log gives the same at any time."""
    ahead_ms = event_time_ms - record_ms
    if ahead_ms > limits.replay_ahead_ms_max:
        refuse(
            "event_time_ms",
            f"is {shown_time(event_time_ms)}, {ahead_ms} ms ahead of Kafka's timestamp of its "
            f"record, {shown_time(record_ms)}, limit replay_ahead_ms_max="
            f"{limits.replay_ahead_ms_max} (WEIR_REPLAY_AHEAD_MS_MAX)",
        )
