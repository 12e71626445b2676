"""The bodies of POST /predict and /predict/batch: read within limits, checked as in the stream.

FastAPI would parse the body with `json.loads`, which accepts NaN and a field given twice.
`schemas.codec` decides what is invalid instead, so a client reads the same words as in a dead
letter. Called by the routes in `scoring.http.routes.predict`.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException

from schemas import codec
from schemas.errors import InvalidEventError, shown
from schemas.json_schema import schema_of
from schemas.strict_json import parse_object
from schemas.transaction import Limits, Transaction
from scoring.http.parts import ApiParts

BODY_BYTES_MAX = 65_536
"""Largest body. It is about a hundred times a transaction with every field at its limit."""
BATCH_MAX = 1_000
"""Most transactions of one batch."""
BATCH_BODY_BYTES_MAX = 4 * 1024 * 1024
"""Largest body of a batch: 1,000 transactions with every field at its limit are 0.7 MiB."""
BODY_DISCARDED_BYTES_MAX = 8 * 1024 * 1024
"""How much of a body that is too large is read and discarded. A connection that is closed with
unread bytes is reset, and its client would never see the answer."""
CHECKED_AT_ONCE = 100
"""How many transactions of a batch are checked before other requests get their turn."""
BODY_TIMEOUT_S = 5
"""Longest wait for a complete body."""

_MAY_BE_LEFT_OUT = ("transaction_id", "event_time_ms")
_SMALLEST = {"user_id": "u-1", "merchant_id": "m-1", "amount_minor": 4250, "currency": "EUR"}


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """A valid request for ad-hoc scores.

    Attributes:
        transactions: with their ids and event times filled in; in a batch also why one is invalid.
        now_ms: the clock when the body was complete, ms since 1970 UTC.
        started_s: `time.perf_counter` before the body was read, s.
    """

    transactions: list[Transaction | InvalidEventError]
    now_ms: int
    started_s: float


async def read_predict_request(request: Request, parts: ApiParts) -> PredictRequest:
    """Read the body of one transaction and check it.

    Raises:
        InvalidEventError: it is no transaction of this deployment.
        HTTPException: 413 or 408, the body is too large or too slow.
    """
    started_s = time.perf_counter()
    body = await read_body(request, bytes_max=BODY_BYTES_MAX)
    now_ms = parts.now_ms()
    transaction = _transaction(parse_object(body), limits=parts.limits, now_ms=now_ms)
    return PredictRequest([transaction], now_ms, started_s)


async def read_batch_request(request: Request, parts: ApiParts) -> PredictRequest:
    """Read the body of a batch and check each of its transactions.

    Raises:
        InvalidEventError: the body is no batch; an invalid transaction in it is in the result.
        HTTPException: 413 or 408, the body is too large or too slow.
    """
    started_s = time.perf_counter()
    body = await read_body(request, bytes_max=BATCH_BODY_BYTES_MAX)
    now_ms = parts.now_ms()
    checked: list[Transaction | InvalidEventError] = []
    for fields in _batch(parse_object(body)):
        if checked and len(checked) % CHECKED_AT_ONCE == 0:
            await asyncio.sleep(0)
        checked.append(_checked(fields, limits=parts.limits, now_ms=now_ms))
    return PredictRequest(checked, now_ms, started_s)


def describe_body() -> dict[str, Any]:
    """Give the OpenAPI description of the body: a transaction, with two optional fields."""
    examples = {
        "now": {
            "summary": "as of now",
            "value": {**_SMALLEST, "device_type": "mobile", "ip_country": "DE"},
        },
        "smallest": {"summary": "only the required fields", "value": _SMALLEST},
    }
    return {
        "required": True,
        "content": {"application/json": {"schema": _schema(), "examples": examples}},
    }


def describe_batch_body() -> dict[str, Any]:
    """Give the OpenAPI description of the body of a batch."""
    schema = {
        "type": "object",
        "title": "Batch",
        "required": ["transactions"],
        "properties": {
            "transactions": {
                "type": "array",
                "description": "each as for POST /predict; an invalid one does not stop the others",
                "items": _schema(),
                "minItems": 1,
                "maxItems": BATCH_MAX,
            }
        },
    }
    examples = {
        "two": {
            "summary": "two transactions of one user",
            "value": {"transactions": [_SMALLEST, {**_SMALLEST, "amount_minor": 99_900}]},
        }
    }
    return {
        "required": True,
        "content": {"application/json": {"schema": schema, "examples": examples}},
    }


def _schema() -> dict[str, Any]:
    schema = schema_of(Transaction)
    properties = schema["properties"]
    for name in _MAY_BE_LEFT_OUT:
        schema["required"].remove(name)
        properties[name]["type"] = [properties[name]["type"], "null"]
    properties["transaction_id"]["description"] = "Any id; generated when left out."
    properties["event_time_ms"]["description"] += " The time of the request when left out."
    return schema


async def read_body(request: Request, *, bytes_max: int) -> bytes:
    """Read a body to its end.

    Raises:
        HTTPException: 413 or 408, it is too large or too slow.
    """
    chunks = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= bytes_max:
                    chunks.append(chunk)
                elif size > BODY_DISCARDED_BYTES_MAX:
                    break
    except TimeoutError:
        raise HTTPException(
            408, f"the body was not complete in {BODY_TIMEOUT_S} s", {"Connection": "close"}
        ) from None
    if size > bytes_max:
        raise HTTPException(413, f"the body is over {bytes_max} bytes", {"Connection": "close"})
    return b"".join(chunks)


def _batch(obj: dict[str, object]) -> list[object]:
    found = obj.get("transactions")
    if not isinstance(found, list):
        raise InvalidEventError("transactions", f"is {shown(found)}, must be a list")
    if not 1 <= len(found) <= BATCH_MAX:
        raise InvalidEventError(
            "transactions", f"has {len(found)} entries, must have 1 to {BATCH_MAX}"
        )
    return found


def _checked(fields: object, *, limits: Limits, now_ms: int) -> Transaction | InvalidEventError:
    if not isinstance(fields, dict):
        return InvalidEventError(None, f"must be a JSON object, is {shown(fields)}")
    try:
        return _transaction(fields, limits=limits, now_ms=now_ms)
    except InvalidEventError as error:
        return error


def _transaction(fields: dict[str, object], *, limits: Limits, now_ms: int) -> Transaction:
    # A field that is null counts as left out, as for the other optional fields.
    if fields.get("transaction_id") is None:
        fields["transaction_id"] = f"adhoc-{uuid.uuid4().hex}"
    if fields.get("event_time_ms") is None:
        fields["event_time_ms"] = now_ms
    return codec.transaction_from_object(fields, limits=limits, now_ms=now_ms, is_replay=False)
