"""What a person sees while the demo runs. Rendering only: a snapshot in, a rich group out."""

from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from infra.simulation.run_summary import Snapshot
from schemas.decision import Decision

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
            styled_kind(decision),
            f"{decision.score:.3f}",
            f"{latency_ms:.1f}",
            escape("; ".join((*decision.reasons, *decision.degraded))),
        )
    return table


def styled_kind(decision: Decision) -> str:
    """The outcome in its colour."""
    return f"[{_STYLES[decision.decision]}]{decision.decision}[/]"
