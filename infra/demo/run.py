"""Runs the demo: the stack, a history and a first model, live traffic, the audit of the features.

The first model is made by the ordinary training run, parity gate included. Knows no terminal; the
command line brings a `Screen`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from features.definitions import DEFINITION_DIGEST
from infra.demo.outcome import DemoOutcome
from infra.simulation.clock import WallClock
from infra.simulation.interrupt import clock_until_interrupted
from infra.simulation.live_run import LiveRun, Show
from infra.simulation.replay import Progress
from infra.simulation.run_tracker import RunTracker
from infra.simulation.system import send_history
from infra.simulation.world import World
from operations.parity.feature_log import FeatureLogComparison
from operations.training_run.request import Rows, Source
from operations.training_run.run import TrainingOutcome, train
from schemas.errors import WeirError
from schemas.settings import Settings
from training.registry.versions import ModelVersions

HISTORY_DAYS: Final = 30
_START_MS: Final = 500


class NotPromotedError(WeirError):
    """The first model of a demo did not become the champion; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What a demo is asked for.

    Attributes:
        duration_s: measured live traffic, in s; None: until Ctrl-C.
        rate_per_s: transactions a second.
        warm_up_s: live traffic before it is measured, in s, at least.
        seed: chooses people, places and fraud.
        history_days: days of history for the first model.
        per_day: transactions a day of that history.
    """

    duration_s: float | None
    rate_per_s: float
    warm_up_s: float
    seed: int
    history_days: int
    per_day: int


class Screen(Protocol):
    """Shows a demo."""

    def say(self, line: str) -> None:
        """Show one line about what is going on."""

    def history(
        self, title: str, *, total: int
    ) -> AbstractContextManager[Callable[[Progress], None]]:
        """Show a replay of so many transactions while a block runs."""

    def live(self, tracker: RunTracker) -> AbstractContextManager[Show]:
        """Show live traffic while a block runs."""

    def trained(self, outcome: TrainingOutcome) -> None:
        """Show the result of a training."""


def run_demo(settings: Settings, options: DemoOptions, screen: Screen) -> DemoOutcome:
    """Run a demo on a stack that is up.

    Args:
        settings: of the stack.
        options: what to run.
        screen: shows it.

    Raises:
        NotPromotedError: the first model is no better than guessing, or parity is not 0.
        NotServedError: the scorer does not decide by the champion.
    """
    tracker = RunTracker(f"d{options.seed}-{WallClock().now_ms():x}")
    world = World(seed=options.seed, currency=settings.currency, run=tracker.run)
    version = _champion_version(settings)
    if version is None:
        version = _first_version(settings, options, world, screen)
    else:
        screen.say(f"going on with the history and model version {version} of an earlier run")
    _send_live(settings, options, screen, world=world, tracker=tracker, version=version)
    summary = tracker.summary(feature_mismatches=_feature_mismatches(settings, tracker.run, screen))
    return DemoOutcome(summary, version, tracker.contradictions)


def _champion_version(settings: Settings) -> str | None:
    """The version to go on with; None when there is none for these feature definitions."""
    champion = ModelVersions.from_settings(settings).champion()
    if champion is None or champion.definition_digest != DEFINITION_DIGEST:
        return None
    return champion.version


def _first_version(settings: Settings, options: DemoOptions, world: World, screen: Screen) -> str:
    days, per_day = options.history_days, options.per_day
    with (
        clock_until_interrupted() as clock,
        screen.history(f"{days} days of history", total=days * per_day) as on_progress,
    ):
        done = send_history(
            settings, world, clock, days=days, per_day=per_day, on_progress=on_progress
        )
    screen.say(f"{done.transactions} transactions and {done.labels} labels sent and answered")
    clock.raise_if_stopped()
    # Without the young rows the last days would only have the reported ones, nearly all frauds.
    rows = Rows(source=Source.LOG, keep_immature=True)
    outcome = train(settings, rows, now_ms=WallClock().now_ms(), say=screen.say)
    screen.trained(outcome)
    if not outcome.verdict.promotes:
        advice = "`weir parity` shows it" if outcome.blocked else "give it more --history-days"
        raise NotPromotedError(f"{outcome.verdict.reason}; {advice}")
    return outcome.version.version


def _send_live(
    settings: Settings,
    options: DemoOptions,
    screen: Screen,
    *,
    world: World,
    tracker: RunTracker,
    version: str,
) -> None:
    """Send live traffic until its time is over, or until Ctrl-C."""
    duration_s = options.duration_s
    live_run = LiveRun(
        tracker,
        bootstrap=settings.kafka_bootstrap,
        version=version,
        duration_ms=None if duration_s is None else round(duration_s * 1_000),
        warm_up_ms=round(options.warm_up_s * 1_000),
    )
    screen.say(
        f"live traffic at {options.rate_per_s:g}/s; the first {options.warm_up_s:g} s or more "
        "are not measured"
    )
    with clock_until_interrupted() as clock, screen.live(tracker) as show:
        events = world.live(start_ms=clock.now_ms() + _START_MS, rate_per_s=options.rate_per_s)
        live_run.go(events, clock=clock, show=show)


def _feature_mismatches(settings: Settings, run: str, screen: Screen) -> int | None:
    """Recompute the run's features; None when a second Ctrl-C skipped it."""
    screen.say("recomputing the features of the run (Ctrl-C skips it)")
    comparison = FeatureLogComparison(
        settings, is_compared=lambda row: row.transaction.transaction_id.startswith(f"{run}-")
    )
    try:
        report = comparison.run()
    except KeyboardInterrupt:
        return None
    for difference in report.differences:
        screen.say(f"mismatch: {difference}")
    screen.say(
        f"{report.rows} rows, {report.checked} values recomputed: {report.mismatched} differ, "
        f"{report.late_labels} met a label that arrived late"
    )
    return report.mismatched + report.gaps
