from dataclasses import replace
from io import StringIO

from rich.console import Console

from infra.cli.live_view import Addresses, rendered
from infra.simulation.run_tracker import RunTracker
from tests.builders import DECISION, NOW_MS

RUN = "d1-x"


def test_the_view_shows_figures_decisions_reasons_and_addresses() -> None:
    tracker = RunTracker(RUN)
    tracker.produced(f"{RUN}-00000000", due_ms=NOW_MS)
    decision = replace(
        DECISION, transaction_id=f"{RUN}-00000000", decision="BLOCK", reasons=("[odd] reason",)
    )
    tracker.decided(decision, received_ms=NOW_MS + 7.25)
    console = Console(width=150, record=True, file=StringIO())
    console.print(
        rendered(
            tracker.snapshot(),
            phase="measuring",
            rate_per_s=199.6,
            version="3",
            pages=Addresses(flink="http://f:1", mlflow="http://m:2", api="http://a:3"),
        )
    )
    text = console.export_text()
    for part in (
        "measuring", "1 of 1", "BLOCK 1", "200/s", "model version 3", "p99 7.2 ms",
        f"{RUN}-00000000", "[odd] reason", "http://f:1", "http://m:2", "http://a:3/docs",
    ):  # fmt: skip
        assert part in text
