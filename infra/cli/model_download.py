"""`weir models download`: a version as a directory, for `scoring.Scorer` and for AWS Lambda."""

from pathlib import Path
from typing import Annotated

import typer

from clients.mlflow_rest import MlflowRest
from infra.cli.failures import UsageError
from infra.cli.output import say
from schemas.settings import Settings
from scoring.embedded.model_directory import load_directory, write_directory
from scoring.stores.champion import TIMEOUT_S, fetch_files


def download(
    directory: Annotated[Path, typer.Argument(help="Where to; made if it is missing.")],
    *,
    version: Annotated[
        str | None, typer.Option(help="Its number; the champion if left out.")
    ] = None,
) -> None:
    """Write the files of a version into a directory, and check that they score as in training."""
    settings = Settings()
    registry = MlflowRest(settings.mlflow_tracking_uri, timeout_s=TIMEOUT_S)
    name = settings.model_name
    if version is None:
        found = registry.get_alias(model=name, alias=settings.champion_alias)
    else:
        found = registry.get_version(model=name, version=version)
    if found is None:
        which = "champion" if version is None else f"version {version}"
        raise UsageError(f"{name} has no {which}; `weir models list` shows its versions")
    write_directory(directory, fetch_files(registry, found), name=name, version=found.version)
    model = load_directory(directory)
    say(f"{name} version {model.ref.version} is in {directory}")
