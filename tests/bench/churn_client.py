"""Asks for the churn of users at a fixed rate: `python -m tests.bench.churn_client SPEC`.

Open loop: a request's clock starts when it is due. Prints percentiles, and how many requests got
no score.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from tests.bench.measure import percentiles_ms
from tests.bench.open_loop import ask_when_due
from tests.bench.serving_client import Service

WAIT_S = 30
"""How long after the last request an answer may come; later ones are errors."""


async def ask_all(spec: dict[str, Any]) -> dict[str, Any]:
    """Send every request when it is due and wait for the answers."""
    service = Service(spec["port"], "/models/churn/predict")
    users = Path(spec["users"]).read_text().split("\n")
    rng = random.Random(7)
    count = round(spec["rate_per_s"] * (spec["warm_s"] + spec["seconds"]))
    latencies_s = np.full(count, np.nan)
    is_scored = np.zeros(count, dtype=bool)

    async def ask(at: int, due_s: float) -> None:
        try:
            answer = await service.ask({"user_id": rng.choice(users)})
        except (OSError, ValueError):
            return
        latencies_s[at] = time.perf_counter() - due_s
        is_scored[at] = answer is not None and "score" in answer

    # A request without an answer counts below: it has no score.
    await ask_when_due(ask, rate_per_s=spec["rate_per_s"], count=count, wait_s=WAIT_S)
    measured = latencies_s[round(spec["rate_per_s"] * spec["warm_s"]) :]
    return {
        "latency_ms": percentiles_ms(measured[~np.isnan(measured)]),
        "requests": count,
        "errors": int(count - is_scored.sum()),
    }


def main() -> None:
    """Ask what the argument says."""
    print(json.dumps(uvloop.run(ask_all(json.loads(sys.argv[1])))))


if __name__ == "__main__":
    main()
