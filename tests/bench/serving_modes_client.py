"""Asks the API for predictions, one or many in a request: a process of its own.

`python -m tests.bench.serving_modes_client SPEC`. With ``rate_per_s``, requests are due at that
rate and their clocks start then (open loop). With ``in_flight`` instead, so many requests are
always on their way, each sent when one before it was answered: as fast as the API goes.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import Any

import numpy as np
import uvloop

from tests.bench.measure import percentiles_ms
from tests.bench.open_loop import ask_when_due
from tests.bench.serving_client import Service

WAIT_S = 60.0
"""How long after the last request an answer may come."""


class Asking:
    """Requests of one kind, and what came of them.

    Attributes:
        latencies_s: of every answered request.
        predictions: how many were given.
        not_whole: transactions that were not scored, or without their features or the model.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._rng = random.Random(7)
        path = "/predict" if spec["size"] == 1 else "/predict/batch"
        self._service = Service(spec["port"], path)
        self.latencies_s: list[float] = []
        self.predictions = 0
        self.not_whole = 0

    async def ask(self, due_s: float) -> None:
        """Send one request and wait for its answer; its clock has run since it was due."""
        size = self._spec["size"]
        made_up = [self._transaction() for _ in range(size)]
        answer = await self._service.ask(made_up[0] if size == 1 else {"transactions": made_up})
        self.latencies_s.append(time.perf_counter() - due_s)
        answers = [] if answer is None else [answer] if size == 1 else answer["answers"]
        scored = [each for each in answers if "score" in each]
        self.predictions += len(scored)
        self.not_whole += size - sum(not each["degraded"] for each in scored)

    def _transaction(self) -> dict[str, Any]:
        spec, rng = self._spec, self._rng
        return {
            "user_id": f"{spec['population']}u{rng.randrange(spec['users'])}",
            "merchant_id": f"{spec['population']}m{rng.randrange(spec['merchants'])}",
            "amount_minor": rng.randrange(100, 20_000),
            "currency": "EUR",
            "device_type": "mobile",
            "ip_country": "DE",
        }


async def ask_all(spec: dict[str, Any]) -> dict[str, Any]:
    """Ask for as long as the specification says."""
    asking = Asking(spec)
    began_s = time.perf_counter()
    if "in_flight" in spec:
        await _as_fast_as_it_goes(asking, spec, began_s + spec["seconds"])
    else:
        await _at_a_rate(asking, spec)
    return {
        "predictions": asking.predictions,
        "not_whole": asking.not_whole,
        "seconds": time.perf_counter() - began_s,
        "latency_ms": percentiles_ms(np.array(asking.latencies_s)),
    }


async def _as_fast_as_it_goes(asking: Asking, spec: dict[str, Any], until_s: float) -> None:
    async def ask_again_and_again() -> None:
        while (now_s := time.perf_counter()) < until_s:
            await asking.ask(now_s)

    await asyncio.gather(*(ask_again_and_again() for _ in range(spec["in_flight"])))


async def _at_a_rate(asking: Asking, spec: dict[str, Any]) -> None:
    async def ask(_: int, due_s: float) -> None:
        await asking.ask(due_s)

    count = max(1, round(spec["rate_per_s"] * spec["seconds"]))
    if late := await ask_when_due(ask, rate_per_s=spec["rate_per_s"], count=count, wait_s=WAIT_S):
        raise TimeoutError(f"{late} of {count} requests had no answer after {WAIT_S:g} s")


def main() -> None:
    """Ask what the argument says."""
    print(json.dumps(uvloop.run(ask_all(json.loads(sys.argv[1])))))


if __name__ == "__main__":
    main()
