"""`weir demo`: a running system in one command, watched, measured and checked.

Stack up; some weeks of history and a first model, unless there is a champion already; live
traffic (`live_run`); then the sums (`run_tracker`) and the audit of the features. This module
puts the phases in order.
"""

import signal
from typing import Annotated, Final

import typer
from rich.console import Console

from features.definitions import DEFINITION_DIGEST
from infra.cli.failures import EXIT_DIFFERENT, UsageError
from infra.cli.live_run import WARM_UP_MS, LiveRun, shown
from infra.cli.live_view import Addresses
from infra.cli.stack import say
from infra.cli.traffic import HISTORY_PER_DAY, clock_until_interrupted, live_through
from infra.cli.training import train_version
from infra.local.stack import Stack
from infra.simulation.clock import WallClock
from infra.simulation.run_summary import RunSummary
from infra.simulation.run_tracker import RunTracker
from infra.simulation.world import World
from operations.parity.run import run_parity
from schemas.settings import Settings
from training.registry.versions import ModelVersions

HISTORY_DAYS: Final = 30
_START_MS: Final = 500

out = Console(soft_wrap=True)


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
    stack = Stack(settings, report=say)
    was_running = stack.is_running()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        stack.up()
        tracker = RunTracker(f"d{seed}-{WallClock().now_ms():x}")
        world = World(seed=seed, currency=settings.currency, run=tracker.run)
        version = _champion_version(settings)
        if version is None:
            with clock_until_interrupted() as clock:
                live_through(settings, world, clock, days=history_days, per_day=per_day)
                clock.raise_if_stopped()
            # Of the last days only what was reported would be kept otherwise: frauds, nearly all.
            # The audit of the features is the last thing a demo does; one is enough.
            outcome = train_version(settings, keep_immature=True, skip_parity=True)
            if not outcome.verdict.promotes:
                raise UsageError(f"{outcome.verdict.reason}; give it more --history-days")
            version = outcome.version.version
        _live(
            settings,
            tracker,
            world,
            version=version,
            rate=rate,
            warm_up_s=warm_up,
            duration_s=duration,
        )
        summary = tracker.summary(feature_mismatches=_feature_mismatches(settings, tracker.run))
    finally:
        if not was_running and not keep:
            # Half a stack left behind is worse than a few seconds of waiting.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            stack.down()
    typer.echo(summary.to_json())
    if not is_well(summary, version=version, contradictions=tracker.contradictions):
        raise typer.Exit(EXIT_DIFFERENT)


def is_well(summary: RunSummary, *, version: str, contradictions: int) -> bool:
    """Whether a run is what it must be. Repeated decisions may be, contradicting ones may not."""
    return (
        summary.produced > 0
        and summary.produced == summary.features == summary.decisions
        and summary.lost == 0
        and summary.dead_letters == 0
        and summary.feature_mismatches == 0
        and summary.model_version == version
        and contradictions == 0
    )


def _champion_version(settings: Settings) -> str | None:
    """The version to go on with; None when there is none for these feature definitions."""
    champion = ModelVersions.from_settings(settings).champion()
    if champion is None or champion.definition_digest != DEFINITION_DIGEST:
        return None
    say(f"going on with the history and model version {champion.version} of an earlier run")
    return champion.version


def _live(
    settings: Settings,
    tracker: RunTracker,
    world: World,
    *,
    version: str,
    rate: float,
    warm_up_s: float,
    duration_s: float | None,
) -> None:
    """Live traffic until its time is over, or until Ctrl-C."""
    live_run = LiveRun(
        tracker,
        bootstrap=settings.kafka_bootstrap,
        version=version,
        duration_ms=None if duration_s is None else round(duration_s * 1_000),
        warm_up_ms=round(warm_up_s * 1_000),
    )
    pages = Addresses(
        flink=settings.flink_rest_url,
        mlflow=settings.mlflow_tracking_uri,
        api=f"http://{settings.api_host}:{settings.api_port}",
    )
    say(f"live traffic at {rate:g}/s; the first {warm_up_s:g} s or more are not measured")
    with clock_until_interrupted() as clock, shown(tracker, pages, out) as show:
        events = world.live(start_ms=clock.now_ms() + _START_MS, rate_per_s=rate)
        live_run.go(events, clock=clock, show=show)


def _feature_mismatches(settings: Settings, run: str) -> int | None:
    """Recompute the run's features; None when a second Ctrl-C skipped it."""
    say("recomputing the features of the run (Ctrl-C skips it)")
    try:
        report = run_parity(
            settings, is_compared=lambda row: row.transaction.transaction_id.startswith(f"{run}-")
        )
    except KeyboardInterrupt:
        return None
    for difference in report.differences:
        say(f"mismatch: {difference}")
    say(
        f"{report.rows} rows, {report.checked} values recomputed: {report.mismatched} differ, "
        f"{report.raced} met a label that came late"
    )
    return report.mismatched + report.gaps


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("demo")(demo)
