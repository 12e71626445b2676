"""The tables of the scenario `batch_scoring`."""

from __future__ import annotations

from typing import Any

from tests.bench.markdown import number, table

Entry = dict[str, Any]


def text(entry: Entry) -> str:
    """The runs, the steps of a task, and the comparison with the stream."""
    rows = []
    by_part = {row["part"]: row for row in entry["rows"]}
    steps = ("prepare", "score", "publish", "all")
    for name, title in (("plain", "as it is"), ("killed", "TaskManager killed half-way")):
        if name not in by_part:
            continue
        found = by_part[name]["median"]
        rows.append(
            [
                title,
                f"{found['rows']:,.0f}",
                f"{found['rows_per_s']:,.0f}",
                *(number(found["seconds"][step]) for step in steps),
                by_part[name]["runs"][0]["digest"],
                len(by_part[name]["runs"]),
            ]
        )
    seconds = [f"{step} s" for step in steps]
    parts = [table(["", "rows", "rows/s", *seconds, "digest of the table", "runs"], rows)]
    if "plain" in by_part:
        us = by_part["plain"]["median"]["task_us_a_row"]
        steps_us = [[name, number(value)] for name, value in us.items()]
        parts.append(table(["step of a task", "us a row"], steps_us))
    if "stream" in by_part:
        found = by_part["stream"]["median"]
        parts.append(
            f"Of {found['compared']:,.0f} rows that the stream had decided, "
            f"{found['different']:,.0f} have another score by batch, compared bit by bit."
        )
    return "\n\n".join(parts)
