"""Asks the API at a fixed rate: `python -m tests.bench.api_client SPEC`, a process of its own.

Open loop: request i is due at start + i / rate and its clock starts then; kept-alive connections,
another one when all are busy. Prints percentiles and the answers by status.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter, deque
from typing import Any

import numpy as np
import uvloop

from tests.bench.measure import percentiles_ms
from tests.bench.open_loop import ask_when_due

CONNECTIONS_MAX = 256
WAIT_S = 60.0
"""How long after the last request an answer may come."""
_END = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """One kept-alive connection with one request on it at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    async def ask(self, request: bytes) -> bytes:
        """Send a request and wait for the whole answer."""
        self._received = b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(_END)
        if not end or self._answer is None:
            return
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
        if len(body) >= int(length):
            self._answer.set_result(self._received)
            self._answer = None

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None:
            self._answer.set_exception(error or ConnectionError("the API closed the connection"))


async def ask_all(spec: dict[str, Any]) -> dict[str, Any]:
    """Send every request when it is due and wait for the answers."""
    loop = asyncio.get_running_loop()
    count = round(spec["rate_per_s"] * (spec["warm_s"] + spec["seconds"]))
    rng = random.Random(7)
    idle: deque[Connection] = deque()
    latencies_s = np.full(count, np.nan)
    answers: Counter[str] = Counter()
    opened = 0

    async def connect() -> Connection:
        nonlocal opened
        opened += 1
        _, connection = await loop.create_connection(Connection, spec["host"], spec["port"])
        return connection

    async def ask(at: int, due_s: float) -> None:
        if not idle and opened >= CONNECTIONS_MAX:
            answers["not sent"] += 1
            return
        connection = idle.popleft() if idle else await connect()
        answer = await connection.ask(_request(spec, rng))
        latencies_s[at] = time.perf_counter() - due_s
        answers[answer.split(b" ", 2)[1].decode()] += 1
        if b'"degraded":[]' not in answer:
            answers["degraded"] += 1
        idle.append(connection)

    idle.extend([await connect() for _ in range(8)])
    if late := await ask_when_due(ask, rate_per_s=spec["rate_per_s"], count=count, wait_s=WAIT_S):
        raise TimeoutError(f"{late} of {count} requests had no answer after {WAIT_S:g} s")
    measured = latencies_s[round(spec["rate_per_s"] * spec["warm_s"]) :]
    return {
        "latency_ms": percentiles_ms(measured[~np.isnan(measured)]),
        "answers": dict(answers),
        "connections": opened,
    }


def _request(spec: dict[str, Any], rng: random.Random) -> bytes:
    population = spec["population"]
    body = json.dumps(
        {
            "user_id": f"{population}u{rng.randrange(spec['users'])}",
            "merchant_id": f"{population}m{rng.randrange(spec['merchants'])}",
            "amount_minor": rng.randrange(100, 20_000),
            "currency": "EUR",
            "device_type": "mobile",
            "ip_country": "DE",
        }
    ).encode()
    return (
        b"POST /predict HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )


def main() -> None:
    """Ask what the argument says."""
    print(json.dumps(uvloop.run(ask_all(json.loads(sys.argv[1])))))


if __name__ == "__main__":
    main()
