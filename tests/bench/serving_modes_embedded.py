"""Scores feature rows with `scoring.Scorer`, in this process: no service, no NumPy.

`python -m tests.bench.serving_modes_embedded SPEC`. One call after the other; prints the latency of
a call, and the CPU of the measured calls alone and of the whole process.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import Any

from scoring import Scorer


def main() -> None:
    """Score what the argument says."""
    spec: dict[str, Any] = json.loads(sys.argv[1])
    scorer = Scorer.load(spec["model"])
    rows = Path(spec["rows"]).read_bytes().split(b"\n")
    size = spec["size"]
    calls = cycle([rows[at : at + size] for at in range(0, len(rows) - size + 1, size)])
    _score(scorer, calls, spec["warm_s"])
    cpu_s, began_s = time.process_time(), time.perf_counter()
    latencies_s = _score(scorer, calls, spec["seconds"])
    found: dict[str, Any] = {
        "cpu_s": time.process_time() - cpu_s,
        "seconds": time.perf_counter() - began_s,
        "predictions": len(latencies_s) * size,
    }
    # Slow to import, and no part of what is embedded.
    import numpy as np

    from tests.bench.measure import percentiles_ms

    found["latency_ms"] = percentiles_ms(np.array(latencies_s))
    print(json.dumps({**found, "all_cpu_s": time.process_time()}))


def _score(scorer: Scorer, calls: Any, seconds: float) -> list[float]:
    latencies_s = []
    now_s = time.perf_counter()
    until_s = now_s + seconds
    while now_s < until_s:
        scorer.score_many(next(calls))
        done_s = time.perf_counter()
        latencies_s.append(done_s - now_s)
        now_s = done_s
    return latencies_s


if __name__ == "__main__":
    main()
