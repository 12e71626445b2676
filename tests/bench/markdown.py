"""Tables and figures in Markdown, for the benchmark page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

BESIDE = ("mlflow", "api", "sender", "watcher")
"""Programs that take no part in a decision."""


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown."""
    names = list(head)
    lines = [names, ["---"] * len(names), *([str(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: object) -> str:
    """A figure with a sensible number of digits; empty for None.

    Examples:
        >>> number(1234.5), number(-12.34), number(0.123), number(None)
        ('1,234', '-12.3', '0.12', '')
    """
    if not isinstance(value, int | float):
        return "" if value is None else str(value)
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}"


def system_us(found: dict[str, Any]) -> float:
    """CPU of all programs that take part in a decision, broker included, us per event."""
    by_program = found["cpu_us_per_event"]
    return float(sum(us for name, us in by_program.items() if name not in BESIDE))
