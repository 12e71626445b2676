"""The table of churn online, from its measurements."""

from __future__ import annotations

from typing import Any

from tests.bench.markdown import table

HEAD = [
    *("requests/s", "p50 ms", "p95 ms", "p99 ms", "errors", "API's CPU us", "Redis' CPU us"),
    "runs",
]


def text(entry: dict[str, Any]) -> str:
    """One row for each rate."""
    rows = []
    for row in entry["rows"]:
        found, runs = row["median"], row["runs"]
        used_us = found["cpu_us_per_event"]
        rows.append(
            [
                f"{row['rate_per_s']:g}",
                *(f"{found['latency_ms'][name]:.1f}" for name in ("p50", "p95", "p99")),
                f"{sum(run['errors'] for run in runs):,}",
                *(f"{used_us[name]:,.0f}" for name in ("api", "redis")),
                len(runs),
            ]
        )
    return f"One of {entry['users']:,} users in a request.\n\n{table(HEAD, rows)}"
