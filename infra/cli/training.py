"""`weir train`: from a data set to a registered model, which decides if it is better."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.deployment import deployment_settings
from infra.cli.failures import EXIT_DIFFERENT
from infra.cli.model_option import ModelName
from infra.cli.output import out, say
from infra.cli.times import AsOf, as_of_ms, day_ms, day_option, parse_duration_ms
from infra.cli.training_options import TrainingOptions
from infra.simulation.clock import WallClock
from infra.simulation.interrupt import clock_until_interrupted
from models.catalogue import find_model_definition, settings_of
from operations.schedule import run_every
from operations.training_run.request import DAYS, Plan, Rows, Source
from operations.training_run.run import TrainingOutcome, train_model_of_users
from operations.training_run.run import train as run_training
from schemas.settings import Settings
from training.fitting.families import Family

KeepImmature = Annotated[
    bool,
    typer.Option(
        "--keep-immature", help="Count transactions of the last days as honest unless reported."
    ),
]
From = Annotated[datetime | None, day_option("--from", "First day of the data set, UTC.")]
Until = Annotated[datetime | None, day_option("--until", "First day no longer in it, UTC.")]
Report = Annotated[
    Path | None,
    typer.Option(
        "--dataset", exists=True, dir_okay=False, help="A report.json: the same rows as that one."
    ),
]
Days = Annotated[
    int | None,
    typer.Option(
        min=1, help=f"The most recent days with mature labels; {DAYS} if no option names others."
    ),
]
Read = Annotated[
    Source, typer.Option(help="A data set of the archive, or everything in log or archive.")
]
IsChallenger = Annotated[
    bool,
    typer.Option(
        "--challenger",
        help="Keep the champion even if the new version is better; let it in by a rollout.",
    ),
]


def train(
    *,
    from_day: From = None,
    until_day: Until = None,
    report: Report = None,
    days: Days = None,
    as_of: AsOf = None,
    source: Read = Source.DATASET,
    family: Annotated[
        Family,
        typer.Option(
            help="A random forest, boosted trees, those of LightGBM, or the better of the first "
            "two on the validation rows."
        ),
    ] = Family.FOREST,
    choose: Annotated[
        bool, typer.Option("--choose", help="Choose the parameters first: 4 to 13 fits more.")
    ] = False,
    keep_immature: KeepImmature = False,
    model: ModelName = None,
    challenger: IsChallenger = False,
    every: Annotated[
        str | None,
        typer.Option(help="Train now and then again and again: 30m, 6h, 1d. Ctrl-C ends it."),
    ] = None,
) -> None:
    """Make a data set and fit a model on it; champion only if it is better and parity is 0.

    Recomputes every feature before it promotes, and there is no option to skip that. A version
    that is not better than the champion by more than noise is registered as the challenger, with
    the reason. Exit 1 if only a parity that is not 0 kept it from being promoted.
    """
    options = TrainingOptions(
        source=source,
        first_ms=None if from_day is None else day_ms(from_day),
        end_ms=None if until_day is None else day_ms(until_day),
        days=days,
        report=report,
        as_of_ms=None if as_of is None else as_of_ms(as_of, now_ms=WallClock().now_ms()),
        keep_immature=keep_immature,
        is_repeated=every is not None,
    )
    family.check_installed()
    every_ms = None if every is None else parse_duration_ms(every)
    settings, rows = deployment_settings(), options.rows()
    plan = Plan(
        parameters=family.default(),
        grid=family.grid(is_large=choose),
        is_tried_again=every is not None,
        is_challenger=challenger,
    )
    if every_ms is not None:
        with clock_until_interrupted() as clock:
            run_every(
                lambda: _train(settings, rows, plan, model),
                every_ms=every_ms,
                clock=clock,
                report=say,
            )
    elif _train(settings, rows, plan, model).blocked:
        raise typer.Exit(EXIT_DIFFERENT)


def _train(settings: Settings, rows: Rows, plan: Plan, model: str | None) -> TrainingOutcome:
    definition = find_model_definition(settings, model or settings.model_name)
    now_ms = WallClock().now_ms()
    with out.status(f"training model {definition.name} on the {rows.source}"):
        if definition.entity == "user":
            outcome = train_model_of_users(
                settings, definition, rows, plan=plan, now_ms=now_ms, say=say
            )
        else:
            outcome = run_training(settings, rows, plan=plan, now_ms=now_ms, say=say)
    say_outcome(settings_of(settings, definition), outcome)
    return outcome


def say_outcome(settings: Settings, outcome: TrainingOutcome) -> None:
    """Print the result of a training."""
    if outcome.dataset is not None:
        found = "logged" if outcome.dataset.is_new else "known"
        say(f"data set {found} as run {outcome.dataset.run_id}")
    place = "the champion" if outcome.verdict.promotes else "a challenger, not the champion"
    say(f"registered {settings.model_name} version {outcome.version.version} as {place}")
    say(outcome.verdict.reason)
