"""The table of the scenario `storage`, and the names of its parts."""

from __future__ import annotations

from typing import Any

from schemas.topics import DECISIONS, FEATURES, LABELS, TRANSACTIONS
from tests.bench.markdown import number, table

OTHER_TOPICS = "other topics"
ARCHIVE, AS_WRITTEN = "archive, compacted", "archive before compaction"
CHECKPOINTS, WORKING_COPY = "Flink's checkpoints", "Flink's working copy"
REWRITTEN, AS_GROWN = "Redis' file, rewritten", "Redis' file before a rewrite"
DISK = (
    *(TRANSACTIONS, LABELS, FEATURES, DECISIONS, OTHER_TOPICS),
    *(REWRITTEN, ARCHIVE, CHECKPOINTS, WORKING_COPY),
)
"""What the sum of the disk has."""
MEMORY = "Redis' memory"
FIRST_DECISIONS, OTHER_KEYS = "first decisions", "other keys"
STATES = {"user": "states of users", "merchant": "states of merchants"}
WHOLE = {
    "a first decision as a whole": FIRST_DECISIONS,
    "a user's state as a whole": STATES["user"],
    "a merchant's state as a whole": STATES["merchant"],
}
KINDS = (FIRST_DECISIONS, *STATES.values(), OTHER_KEYS)
Entry = dict[str, Any]


def text(entry: Entry) -> str:
    """Bytes an event by part, and of a state, with a column for each way to send."""
    found = [row["median"] for row in entry["rows"]]

    def line(title: str, *path: str) -> list[str]:
        return [title, *(number(_value(each, path)) for each in found)]

    rows = [
        *(line(part, "disk", part) for part in DISK),
        line("**on disk**", "disk_all"),
        *(line(part, "disk", part) for part in (AS_GROWN, AS_WRITTEN)),
        *(line(f"{MEMORY}, {kind}", "memory", kind) for kind in KINDS),
        line(f"**{MEMORY}**", "memory", MEMORY),
        *(line(f"{MEMORY}, {name}", "whole", kind) for name, kind in WHOLE.items()),
    ]
    loads = "; ".join(
        f"{way(row)}, {row['events']:,} events of {row['users']:,} users, runs: {len(row['runs'])}"
        for row in entry["rows"]
    )
    head = ["bytes an event", *map(way, entry["rows"])]
    return f"{table(head, rows)}\n\nSent: {loads}."


def _value(found: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        found = found.get(name, {})
    # A part that has nothing is missing.
    return found or 0


def way(row: Entry) -> str:
    """How the events of a row were sent."""
    return "a backlog" if row["rate_per_s"] is None else f"{row['rate_per_s']:g}/s"
