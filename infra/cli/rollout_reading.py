"""How `weir rollout status` shows what the controller has counted."""

from rich.table import Table

from infra.cli.output import out, say
from infra.cli.times import shown_moment
from schemas.rollout_state import ArmReading, RolloutReading
from scoring.core.rollout_live import RECOMMENDATIONS


def show_reading(reading: RolloutReading, notes: list[str]) -> None:
    """Print the counts of each arm, the verdict, the figures in sentences, and the notes."""
    say(f"counted up to {shown_moment(reading.counted_at_ms)[:19]} UTC:")
    table = Table(
        *("arm", "decisions", "failed", "approve", "review", "block", "mean score"),
        *("with mature labels", "mean loss"),
        box=None,
    )
    for arm in reading.arms:
        table.add_row(*_cells(arm))
    out.print(table, markup=False, highlight=False)
    say(f"now: {reading.verdict}")
    if reading.recommendation is not None:
        say(f"recommendation: {RECOMMENDATIONS.get(reading.recommendation, 'none')}")
    for figure in reading.figures:
        say(f"  {figure.text}")
    for note in notes:
        say(f"note: {note}")


def _cells(arm: ArmReading) -> tuple[str, ...]:
    def share(outcome: str) -> str:
        return f"{arm.outcomes.get(outcome, 0) / arm.decisions:.1%}" if arm.decisions else ""

    return (
        *(arm.name, f"{arm.decisions:,}", f"{arm.errors:,}"),
        *(share("APPROVE"), share("REVIEW"), share("BLOCK")),
        f"{arm.mean_score:.4f}" if arm.decisions else "",
        f"{arm.mature_decisions:,}",
        "" if arm.mean_loss is None else f"{arm.mean_loss:.4f}",
    )
