"""The body of POST /predict: read within limits, checked by the stream's own rules, documented.

FastAPI would parse the body with `json.loads`, which accepts NaN and a field given twice.
`schemas.codec` decides what is invalid instead, so a client reads the same words as in a dead
letter. Called by the dependency `scoring.http.deps.ValidPredictRequest`.
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
from schemas.json_schema import schema_of
from schemas.strict_json import parse_object
from schemas.transaction import Limits, Transaction
from scoring.http.parts import ApiParts

BODY_BYTES_MAX = 65_536
"""Largest body. It is about a hundred times a transaction with every field at its limit."""
BODY_DISCARDED_BYTES_MAX = 8 * 1024 * 1024
"""How much of a body that is too large is read and discarded. A connection that is closed with
unread bytes is reset, and its client would never see the answer."""
BODY_TIMEOUT_S = 5
"""Longest wait for a complete body."""

_MAY_BE_LEFT_OUT = ("transaction_id", "event_time_ms")
_SMALLEST = {"user_id": "u-1", "merchant_id": "m-1", "amount_minor": 4250, "currency": "EUR"}


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """A valid request for an ad-hoc score.

    Attributes:
        transaction: the transaction, with its id and its event time filled in.
        now_ms: the clock when the body was complete, ms since 1970 UTC.
        started_s: `time.perf_counter` before the body was read, s.
    """

    transaction: Transaction
    now_ms: int
    started_s: float


async def read_predict_request(request: Request, parts: ApiParts) -> PredictRequest:
    """Read the body and check it.

    Raises:
        InvalidEventError: it is no transaction of this deployment.
        HTTPException: 413 or 408, the body is too large or too slow.
    """
    started_s = time.perf_counter()
    body = await _read_body(request)
    now_ms = parts.now_ms()
    transaction = _transaction(body, limits=parts.limits, now_ms=now_ms)
    return PredictRequest(transaction, now_ms, started_s)


def describe_body() -> dict[str, Any]:
    """Give the OpenAPI description of the body: a transaction, with two optional fields."""
    schema = schema_of(Transaction)
    properties = schema["properties"]
    for name in _MAY_BE_LEFT_OUT:
        schema["required"].remove(name)
        properties[name]["type"] = [properties[name]["type"], "null"]
    properties["transaction_id"]["description"] = "Any id; generated when left out."
    properties["event_time_ms"]["description"] += " The time of the request when left out."
    examples = {
        "now": {
            "summary": "as of now",
            "value": {**_SMALLEST, "device_type": "mobile", "ip_country": "DE"},
        },
        "smallest": {"summary": "only the required fields", "value": _SMALLEST},
    }
    return {
        "required": True,
        "content": {"application/json": {"schema": schema, "examples": examples}},
    }


async def _read_body(request: Request) -> bytes:
    chunks = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= BODY_BYTES_MAX:
                    chunks.append(chunk)
                elif size > BODY_DISCARDED_BYTES_MAX:
                    break
    except TimeoutError:
        raise HTTPException(
            408, f"the body was not complete in {BODY_TIMEOUT_S} s", {"Connection": "close"}
        ) from None
    if size > BODY_BYTES_MAX:
        raise HTTPException(
            413, f"the body is over {BODY_BYTES_MAX} bytes", {"Connection": "close"}
        )
    return b"".join(chunks)


def _transaction(body: bytes, *, limits: Limits, now_ms: int) -> Transaction:
    fields = parse_object(body)
    # A field that is null counts as left out, as for the other optional fields.
    if fields.get("transaction_id") is None:
        fields["transaction_id"] = f"adhoc-{uuid.uuid4().hex}"
    if fields.get("event_time_ms") is None:
        fields["event_time_ms"] = now_ms
    return codec.transaction_from_object(fields, limits=limits, now_ms=now_ms, is_replay=False)
