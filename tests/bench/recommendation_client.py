"""Asks for products at a fixed rate, open loop: `python -m tests.bench.recommendation_client SPEC`.

A request's clock starts when it is due. Prints percentiles, where the products came from, what was
missing, and how many requests got no products.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from examples.recommendation.features import DAYPARTS
from examples.recommendation.ranking import TOP
from tests.bench.measure import percentiles_ms
from tests.bench.open_loop import ask_when_due
from tests.bench.serving_client import Service

WAIT_S = 30
"""How long after the last request an answer may come; later ones are errors."""


async def ask_all(spec: dict[str, Any]) -> dict[str, Any]:
    """Send every request when it is due and wait for the answers."""
    service = Service(spec["port"], "/models/recommendation/rank")
    users = Path(spec["users"]).read_text().split("\n")
    rng = random.Random(7)
    count = round(spec["rate_per_s"] * (spec["warm_s"] + spec["seconds"]))
    latencies_s = np.full(count, np.nan)
    answers: Counter[str] = Counter()
    degraded: Counter[str] = Counter()

    async def ask(at: int, due_s: float) -> None:
        body = {"user_id": rng.choice(users), "daypart": rng.choice(DAYPARTS)}
        try:
            answer = await service.ask(body)
        except (OSError, ValueError) as error:
            answers[type(error).__name__] += 1
            return
        latencies_s[at] = time.perf_counter() - due_s
        is_whole = answer is not None and len(answer["items"]) == TOP
        answers[answer["source"] if is_whole else "not whole"] += 1
        degraded.update(answer["degraded"] if answer is not None else ())

    # A request without an answer counts below: it is no answer with products.
    await ask_when_due(ask, rate_per_s=spec["rate_per_s"], count=count, wait_s=WAIT_S)
    measured = latencies_s[round(spec["rate_per_s"] * spec["warm_s"]) :]
    return {
        "latency_ms": percentiles_ms(measured[~np.isnan(measured)]),
        "requests": count,
        "answers": dict(answers),
        "degraded": dict(degraded),
        "errors": count - answers["candidates"] - answers["popular"],
    }


def main() -> None:
    """Ask what the argument says."""
    print(json.dumps(uvloop.run(ask_all(json.loads(sys.argv[1])))))


if __name__ == "__main__":
    main()
