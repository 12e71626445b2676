"""`weir train` and `weir models`: from the feature log to the model that decides."""

import logging
import os
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from infra.cli import registry
from infra.cli.stack import say
from schemas.settings import Settings

out = Console(soft_wrap=True)


def train(
    *,
    keep_immature: Annotated[
        bool,
        typer.Option(
            "--keep-immature", help="Take transactions of the last days as honest unless reported."
        ),
    ] = False,
) -> None:
    """Fit a model on the feature log and its labels, and register it as the champion."""
    train_champion(Settings(), keep_immature=keep_immature)


def train_champion(settings: Settings, *, keep_immature: bool) -> str:
    """Fit, register, and point the champion's alias at the new version.

    Args:
        settings: where Kafka and MLflow are.
        keep_immature: see `training.dataset.join_labels`.

    Returns:
        The version.
    """
    # MLflow's own progress is noise beside ours.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    # Imported here: mlflow and scikit-learn take seconds that no other command should wait for.
    from training.train import train_and_register  # noqa: PLC0415

    with out.status("training a model on the feature log"):
        version = train_and_register(settings, keep_immature=keep_immature)
    say(f"registered {settings.model_name} version {version.version} as the champion")
    return version.version


def list_models() -> None:
    """List the versions of the model, newest first."""
    settings = Settings()
    table = Table("version", "aliases", "definitions", "registered (UTC)")
    for entry in registry.versions(settings):
        created = datetime.fromtimestamp(entry.created_ms / 1_000, UTC)
        cells = (" ".join(entry.aliases), entry.definition_digest, f"{created:%Y-%m-%d %H:%M:%S}")
        table.add_row(entry.version, *cells)
    out.print(table)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    models = typer.Typer(help="The registered models.", no_args_is_help=True)
    models.command("list")(list_models)
    app.command("train")(train)
    app.add_typer(models, name="models")
