"""`weir demo`: a running system in one command, watched, measured and checked."""

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated

import typer

from infra.cli import replay_progress
from infra.cli.failures import EXIT_DIFFERENT
from infra.cli.live_view import Addresses, shown
from infra.cli.output import out, say
from infra.cli.training import say_outcome
from infra.demo.run import HISTORY_DAYS, DemoOptions, run_demo
from infra.local.stack import Stack
from infra.simulation.live_run import WARM_UP_MS, Show
from infra.simulation.replay import Progress
from infra.simulation.run_tracker import RunTracker
from infra.simulation.system import HISTORY_PER_DAY
from operations.training_run.run import TrainingOutcome
from schemas.settings import Settings


def demo(
    *,
    duration: Annotated[
        float | None,
        typer.Option(min=1, help="Seconds of measured traffic; without it until Ctrl-C."),
    ] = None,
    rate: Annotated[float, typer.Option(min=0.1, help="Transactions a second.")] = 200.0,
    warm_up: Annotated[
        float, typer.Option(min=0, help="Seconds of traffic before that, at least.")
    ] = WARM_UP_MS / 1_000,
    seed: Annotated[int, typer.Option(min=0, help="Chooses people, places and fraud.")] = 1,
    history_days: Annotated[
        int, typer.Option(min=15, help="Days of history for the first model.")
    ] = HISTORY_DAYS,
    per_day: Annotated[
        int, typer.Option(min=100, help="Transactions a day of that history.")
    ] = HISTORY_PER_DAY,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running.")] = False,
) -> None:
    """Start everything, train a first model, and watch live transactions being scored.

    The last line is one JSON object with the sums. The exit code is 0 only if nothing was lost,
    refused or contradicted, the champion decided, and every feature of the run is what a
    recomputation gives. A second run on the same data directory reuses history and model.
    """
    settings = Settings()
    options = DemoOptions(
        duration_s=duration,
        rate_per_s=rate,
        warm_up_s=warm_up,
        seed=seed,
        history_days=history_days,
        per_day=per_day,
    )
    stack = Stack(settings, report=say)
    was_running = stack.is_running()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        stack.up()
        outcome = run_demo(stack.settings, options, _Terminal(settings))
    finally:
        if not was_running and not keep:
            # Half a stack left behind is worse than a few seconds of waiting.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            stack.down()
    typer.echo(outcome.summary.to_json())
    if not outcome.is_well:
        raise typer.Exit(EXIT_DIFFERENT)


class _Terminal:
    """The `Screen` of the command line."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def say(self, line: str) -> None:
        say(line)

    def history(
        self, title: str, *, total: int
    ) -> AbstractContextManager[Callable[[Progress], None]]:
        return replay_progress.progress_bar(title, total=total)

    def live(self, tracker: RunTracker) -> AbstractContextManager[Show]:
        settings = self._settings
        pages = Addresses(
            flink=settings.flink_rest_url,
            mlflow=settings.mlflow_tracking_uri,
            api=f"http://{settings.api_host}:{settings.api_port}",
        )
        return shown(tracker, pages, out)

    def trained(self, outcome: TrainingOutcome) -> None:
        say_outcome(self._settings, outcome)
