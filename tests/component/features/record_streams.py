"""Random records of ``transactions`` and ``labels``, as frames; the seed decides everything.

Few keys, so that they meet; ids that come again, late events, labels before and after their
transactions, text beyond ASCII, unknown fields, headers, and records that are refused.
"""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

import orjson

from schemas import topics
from streams.velocity.record_frame import encode_headers, encode_record
from tests.builders import NOW_MS
from tests.unit.features.engine.brute_force import D

NOTES = [1, 1.5, None, True, "x", [1], {"a": 1}, -3, 1e30, "a\\b", "é😀", 2**64 - 1, ""]
HEADERS: list[list[tuple[str, bytes | None]]] = [
    [],
    [],
    [topics.REPLAY_HEADER],
    [(topics.HEADER_REPLAY, None)],
    [(topics.HEADER_TYPE, topics.TRANSACTION_TYPE.encode()), ("x", None)],
    [(topics.HEADER_TYPE, topics.LABEL_TYPE.encode())],
    [(topics.HEADER_TYPE, b"another.system")],
    [topics.REPLAY_HEADER, (topics.HEADER_REPLAY, b"0")],
    [("tracestate", b"a=1"), ("traceparent", b"00-1-2-00"), ("traceparent", b"00-1-2-01")],
    [("traceparent", None), ("tracestate", b"x" * (topics.PASSED_ON_BYTES_MAX + 1))],
    [topics.REPLAY_HEADER, ("traceparent", b"\xff"), ("Traceparent", b"other")],
]


class Known(NamedTuple):
    """A transaction that was sent."""

    transaction_id: str
    merchant_id: str
    event_time_ms: int


class RecordStream:
    """Makes records one after the other.

    Args:
        rng: decides everything.
        users: how many user ids there are.
        merchants: how many merchant ids there are.
        span_ms: event time from the first to the last record.
        refused: the share of records that are probably refused.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        users: int,
        merchants: int,
        span_ms: int,
        refused: float = 0.05,
    ) -> None:
        self._rng = rng
        self._users = users
        self._merchants = merchants
        self._span_ms = span_ms
        self._refused = refused
        self._known: list[Known] = []

    def frames(self, count: int) -> list[bytes]:
        """Make this many records, each with an offset of its own."""
        start_ms = NOW_MS - self._span_ms
        return [
            self._frame(number, start_ms + number * self._span_ms // count)
            for number in range(count)
        ]

    def _frame(self, number: int, newest_ms: int) -> bytes:
        rng = self._rng
        is_label = bool(self._known) and rng.random() < 0.15
        obj = self._label() if is_label else self._transaction(number, newest_ms)
        if rng.random() < 0.1:
            obj["note"] = rng.choice(NOTES)
        value = self._value(obj)
        return encode_record(
            (topics.LABELS if is_label else topics.TRANSACTIONS).encode(),
            key=rng.choice([None, b"some key"]),
            value=value,
            headers_bytes=encode_headers(rng.choice(HEADERS)),
            timestamp_ms=rng.choice([-1, NOW_MS]),
            partition=number % 4,
            offset=number,
        )

    def _value(self, obj: dict[str, Any]) -> bytes | None:
        rng = self._rng
        style = rng.random()
        if style < self._refused:
            return broken(rng, orjson.dumps(obj))
        if style < 0.2:
            return json.dumps(obj, indent=rng.choice([None, 1]), ensure_ascii=False).encode()
        if style < 0.25:
            return json.dumps(obj).encode()
        return orjson.dumps(obj)

    def _transaction(self, number: int, newest_ms: int) -> dict[str, Any]:
        rng = self._rng
        again = bool(self._known) and rng.random() < 0.05
        late_ms = rng.randrange(3 * D) if rng.random() < 0.1 else 0
        mark = rng.choice(["", "é", "ß", '"q\\', " "]) if rng.random() < 0.1 else ""
        obj: dict[str, Any] = {
            "transaction_id": rng.choice(self._known).transaction_id if again else f"t-{number}",
            "user_id": f"u-{rng.randrange(self._users)}",
            "merchant_id": f"m-{rng.randrange(self._merchants)}{mark}",
            "amount_minor": rng.choice([0, rng.randrange(100_000), 10**12]),
            "currency": "EUR",
            "event_time_ms": newest_ms - late_ms,
        }
        if rng.random() < 0.5:
            obj["device_type"] = rng.choice(["mobile", "web", None])
        if rng.random() < 0.5:
            obj["ip_country"] = rng.choice(["DE", "AT", None])
        self._known.append(Known(obj["transaction_id"], obj["merchant_id"], obj["event_time_ms"]))
        return obj

    def _label(self) -> dict[str, Any]:
        rng = self._rng
        known = rng.choice(self._known[-50:])
        return {
            "transaction_id": rng.choice([known.transaction_id, f"t-{rng.randrange(10_000)}"]),
            "merchant_id": known.merchant_id,
            "event_time_ms": known.event_time_ms,
            "observed_time_ms": min(NOW_MS, known.event_time_ms + rng.randrange(9 * D)),
            "is_fraud": rng.random() < 0.5,
        }


def broken(rng: random.Random, value: bytes) -> bytes | None:
    """Give a record that is probably refused."""
    return rng.choice(
        [
            None,
            b"",
            b"{}",
            value[:-1],
            value + b" ",
            b"\xef\xbb\xbf" + value,
            value.replace(b"EUR", b"USD"),
            value.replace(b":", b":-", 1),
            value.replace(b"{", b'{"user_id":"z",', 1),
            value.replace(b'_time_ms":', b'_time_ms":9', 1),
        ]
    )


def mutated(rng: random.Random, value: bytes) -> bytes:
    """Give a record with some bytes replaced, removed, repeated or put in."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if rng.random() < 0.4:
            value = _mutated_at_a_token(rng, value)
        else:
            at = rng.randrange(len(value) + 1)
            end = min(len(value), at + rng.choice([0, 0, 1, 1, 2, rng.randrange(12)]))
            piece = rng.choice(PIECES) if rng.random() < 0.8 else value[at:end] * 2
            value = value[:at] + piece + value[end:]
    return value


def _mutated_at_a_token(rng: random.Random, value: bytes) -> bytes:
    """Change what may often be changed: space and fields between tokens, and single characters."""
    ends = [at + 1 for at, byte in enumerate(value) if byte in b"{,:"]
    if ends and rng.random() < 0.6:
        at = rng.choice(ends)
        return (
            value[:at]
            + rng.choice([b" ", b"\n", b'"note":1,', b'"x":null,', b'"y":"\xc3\xbc",'])
            + value[at:]
        )
    at = rng.randrange(len(value)) if value else 0
    other = rng.choice(b"0123456789") if value[at : at + 1].isdigit() else rng.choice(b"abXY_- ")
    return value[:at] + bytes([other]) + value[at + 1 :]


PIECES = [
    *(b"", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"\t", b"\r", b"\x0b"),
    *(b"\x00", b"\x1f", b"\x7f", b"\xff", b"\xc3", b"\xc3\xa9", b"\xc2\x85", b"\xc2\xa0"),
    *(b"\xe2\x80\xa8", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
    *(b"0", b"1", b"9", b"-", b"-0", b"00", b"1.0", b"1e2", b"1E", b".", b"+", b"9" * 17),
    *(b"9" * 19, b"9" * 40, b"9007199254740993", b"9223372036854775808"),
    *(b"true", b"false", b"null", b"NaN", b"Infinity", b"\\u0041", b"\\ud800", b"\\n", b"\\/"),
    *(b"EUR", b"eur", b'"EUR"', b'""', b'" "', b'"user_id":"z",', b'"note":1,', b'"note":-1.5,'),
    *(b'"amount_minor":7,', b'"is_fraud":true,', b'"device_type":null,', b'"n":{"user_id":1},'),
    *(b'"ip_country":"DE",', b'"a":[],', b'"":0,', b"a" * 127, b"//", b"/**/"),
]
