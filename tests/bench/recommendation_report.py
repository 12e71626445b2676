"""The rows of the tables of the recommendation, from its measurements."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

STEPS = ("read", "begin", "features", "candidates", "file", "write", "swap", "all")
NIGHT_HEAD = ["shoppers", "candidates", *(f"{step} s" for step in STEPS), "Redis, MiB", "runs"]
RANKING_HEAD = [
    *("", "requests/s", "p50 ms", "p95 ms", "p99 ms", "errors", "of candidates", "popular"),
    *("API's CPU us", "Redis' CPU us", "runs"),
]
NAMES = {"ranking": "as usual", "emptied": "Redis emptied meanwhile"}


def nights(entry: Row) -> list[list[object]]:
    """One row: the median night."""
    (row,) = [row for row in entry["rows"] if row["part"] == "night"]
    found = row["median"]
    return [
        [
            f"{found['shoppers']:,}",
            f"{found['candidates']:,}",
            *(f"{found['steps_s'][step]:.1f}" for step in STEPS),
            f"{found['redis_peak_mib']:,}",
            len(row["runs"]),
        ]
    ]


def rankings(entry: Row) -> list[list[object]]:
    """One row as usual, one with Redis emptied."""
    rows: list[list[object]] = []
    for row in entry["rows"]:
        if row["part"] not in NAMES:
            continue
        found, runs = row["median"], row["runs"]
        requests = sum(run["requests"] for run in runs)
        shares = [
            sum(run["answers"].get(source, 0) for run in runs) / requests
            for source in ("candidates", "popular")
        ]
        rows.append(
            [
                NAMES[row["part"]],
                f"{entry['rate_per_s']:g}",
                *(f"{found['latency_ms'][name]:.1f}" for name in ("p50", "p95", "p99")),
                f"{sum(run['errors'] for run in runs):,}",
                *(f"{share:.1%}" for share in shares),
                *(f"{found['cpu_us_per_event'][name]:,.0f}" for name in ("api", "redis")),
                len(runs),
            ]
        )
    return rows


def recall(entry: Row) -> str:
    """A sentence with the recall of each ranking."""
    found = entry["recall"]
    figures = ", ".join(
        f"{name} {value:.4f} (standard error {found['error'][name]:.4f})"
        for name, value in found["recall"].items()
    )
    return f"Recall at 10 in {found['visits']:,} visits: {figures}."
