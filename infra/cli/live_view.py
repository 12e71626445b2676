"""What a person sees while the demo runs: a live view on a terminal, lines elsewhere.

Rendering only; `infra.simulation.run_tracker` has the figures.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from infra.simulation.run_summary import Snapshot
from infra.simulation.run_tracker import RunTracker

_REPORT_S: Final = 10.0
"""Time between two lines where there is no terminal, s."""
_STYLES = {"APPROVE": "green", "REVIEW": "yellow", "BLOCK": "bold red"}


@dataclass(frozen=True, slots=True)
class Addresses:
    """Pages a person may open while the demo runs."""

    flink: str
    mlflow: str
    api: str


def rendered(
    snapshot: Snapshot, *, phase: str, rate_per_s: float, version: str | None, pages: Addresses
) -> RenderableType:
    """The whole view.

    Args:
        snapshot: of the run.
        phase: what is going on, in words.
        rate_per_s: decisions a second, just now.
        version: of the model that decides; None before the first decision.
        pages: addresses shown below.
    """
    return Group(
        Panel(_figures(snapshot, rate_per_s=rate_per_s, version=version), title=f"Weir: {phase}"),
        _latest(snapshot),
        f"[dim]Flink {pages.flink}   MLflow {pages.mlflow}   API {pages.api}/docs   "
        "Ctrl-C stops[/]",
    )


def _figures(snapshot: Snapshot, *, rate_per_s: float, version: str | None) -> Table:
    table = Table.grid(padding=(0, 3))
    kinds = "   ".join(
        f"[{style}]{kind}[/] {snapshot.by_kind.get(kind, 0):,}" for kind, style in _STYLES.items()
    )
    table.add_row("decisions", f"{snapshot.decided:,} of {snapshot.produced:,}", kinds)
    table.add_row("rate", f"{rate_per_s:,.0f}/s", f"model version {escape(version or '-')}")
    table.add_row("latency", f"p50 {shown_ms(snapshot.p50_ms)}", f"p99 {shown_ms(snapshot.p99_ms)}")
    return table


def shown_ms(latency_ms: float | None) -> str:
    """A latency in words."""
    return "-" if latency_ms is None else f"{latency_ms:,.1f} ms"


def _latest(snapshot: Snapshot) -> Table:
    table = Table("transaction", "user", "decision", "score", "ms", "reasons", expand=True)
    for decision, latency_ms in snapshot.latest:
        table.add_row(
            escape(decision.transaction_id),
            escape(decision.user_id),
            styled_kind(decision.decision),
            f"{decision.score:.3f}",
            f"{latency_ms:.1f}",
            escape("; ".join((*decision.reasons, *decision.degraded))),
        )
    return table


def styled_kind(outcome: str) -> str:
    """The outcome in its colour."""
    return f"[{_STYLES[outcome]}]{outcome}[/]"


@contextlib.contextmanager
def shown(tracker: RunTracker, pages: Addresses, out: Console) -> Iterator[Callable[[str], None]]:
    """Show a run while a block runs: a live view on a terminal, else lines."""
    meter = _Meter(tracker)
    if not out.is_terminal:
        yield lambda phase: meter.report(phase, out)
        return
    with Live(console=out, refresh_per_second=4, transient=False) as live:
        yield lambda phase: live.update(
            rendered(
                tracker.snapshot(),
                phase=phase,
                rate_per_s=meter.rate_per_s(),
                version=tracker.model_version,
                pages=pages,
            )
        )


class _Meter:
    """Decisions a second, and when the last line was printed."""

    def __init__(self, tracker: RunTracker) -> None:
        self._tracker = tracker
        self._last = (time.monotonic(), 0)
        self._rate_per_s = 0.0
        self._reported_s = 0.0

    def rate_per_s(self) -> float:
        """Over the last second or more."""
        then_s, before = self._last
        elapsed_s = time.monotonic() - then_s
        if elapsed_s >= 1.0:
            decided = self._tracker.snapshot().decided
            self._rate_per_s = (decided - before) / elapsed_s
            self._last = (then_s + elapsed_s, decided)
        return self._rate_per_s

    def report(self, phase: str, out: Console) -> None:
        """Print a line when it is time for one."""
        rate_per_s = self.rate_per_s()
        if time.monotonic() - self._reported_s < _REPORT_S:
            return
        self._reported_s = time.monotonic()
        now = self._tracker.snapshot()
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(now.by_kind.items()))
        out.print(
            f"{phase}: {now.decided} of {now.produced} decided ({kinds}), {rate_per_s:.0f}/s, "
            f"p50 {shown_ms(now.p50_ms)}, p99 {shown_ms(now.p99_ms)}",
            highlight=False,
        )
