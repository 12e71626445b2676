"""`weir demo`: a running system in one command, watched, measured and checked.

Stack up; some weeks of history and a first model, unless there is a champion already; live
traffic, watched; then the sums. What counts is in `run_tracker`, what a person sees in
`live_view`; this module puts the phases in order.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live

from infra.cli import registry
from infra.cli.failures import EXIT_DIFFERENT
from infra.cli.live_view import Addresses, rendered, shown_ms
from infra.cli.logged import run_parity
from infra.cli.run_tracker import RunSummary, RunTracker
from infra.cli.run_watch import RunWatch
from infra.cli.stack import say
from infra.cli.traffic import (
    HISTORY_PER_DAY,
    clock_until_interrupted,
    progress_bar,
    replayer,
    say_done,
)
from infra.local.stack import Stack
from infra.simulation.clock import WallClock
from infra.simulation.event import Event
from infra.simulation.population import DAY_MS
from infra.simulation.pump import pump
from infra.simulation.replay import IN_FLIGHT_MAX, Pace, replay
from infra.simulation.world import World
from infra.simulation.writer import KafkaEventWriter
from schemas.errors import RetryableError, WeirError
from schemas.settings import Settings
from training.parity import ParityReport

HISTORY_DAYS: Final = 30
WARM_UP_MS: Final = 5_000
"""Traffic before anything is measured: connections, caches and the JVM's compiler settle."""
SERVING_MS_MAX: Final = 60_000
"""How long the scorer may take to serve the champion; the promise is 10 s."""
DRAIN_MS_MAX: Final = 30_000
_TICK_MS: Final = 250
_REPORT_MS: Final = 10_000

out = Console()


class NotServedError(RetryableError):
    """The scorer does not decide by the champion."""


class DemoFailedError(WeirError):
    """The demo ran and something was not as it must be; the summary says what."""


def demo(
    duration: Annotated[
        float | None,
        typer.Option(min=1, help="Seconds of measured traffic; without it until Ctrl-C."),
    ] = None,
    rate: Annotated[float, typer.Option(min=0.1, help="Transactions a second.")] = 200.0,
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

    The last line is one JSON object with the sums; the exit code is 0 only if nothing was lost,
    refused or contradicted and all features are what a recomputation gives. A second run on the
    same data directory reuses history and model.
    """
    settings = Settings()
    stack = Stack(settings, report=say)
    with clock_until_interrupted() as clock:
        was_down = stack.up()
        try:
            run = f"d{seed}-{clock.now_ms():x}"
            world = World(seed=seed, currency=settings.currency, run=run)
            version = _champion_version(settings)
            if version is None:
                _live_through(settings, world, clock, days=history_days, per_day=per_day)
                version = _train(settings)
            summary = _Run(
                settings, world, clock, run=run, rate=rate, version=version, duration_s=duration
            ).watched()
        finally:
            if was_down and not keep:
                stack.down()
    typer.echo(summary.to_json())
    if not is_well(summary, version=version):
        raise typer.Exit(EXIT_DIFFERENT)


def is_well(summary: RunSummary, *, version: str) -> bool:
    """Whether a run is what it must be: all decided, by the champion, and every feature right.

    Repeated decisions are allowed, they repeat; contradicting ones are counted as lost trust
    elsewhere: `_Run.watched` fails on them.
    """
    return (
        summary.produced > 0
        and summary.lost == 0
        and summary.dead_letters == 0
        and summary.features == summary.produced
        and summary.feature_mismatches == 0
        and summary.model_version == version
    )


def _champion_version(settings: Settings) -> str | None:
    """The version to go on with; None when there is none for these feature definitions."""
    from features.definitions import DEFINITION_DIGEST

    champion = registry.champion(settings)
    if champion is None or champion.definition_digest != DEFINITION_DIGEST:
        return None
    say(f"going on with the history and model version {champion.version} of an earlier run")
    return champion.version


def _live_through(
    settings: Settings, world: World, clock: WallClock, *, days: int, per_day: int
) -> None:
    """Replay the days up to now through the running system."""
    now_ms = clock.now_ms()
    events = world.history(
        start_ms=now_ms - days * DAY_MS, end_ms=now_ms, transactions_per_day=per_day
    )
    writer, gate = replayer(settings, clock, in_flight_max=IN_FLIGHT_MAX)
    with progress_bar(f"{days} days of history", total=days * per_day) as on_progress:
        done = replay(
            events,
            writer=writer,
            gate=gate,
            pace=Pace(clock=clock, speed=None),
            clock=clock,
            on_progress=on_progress,
        )
    say_done(done)
