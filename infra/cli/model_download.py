"""`weir models download`: a version as a directory, for `scoring.Scorer` and for AWS Lambda."""

from pathlib import Path
from typing import Annotated

import typer

from clients.mlflow_rest import MlflowRest
from infra.cli.failures import UsageError
from infra.cli.model_option import ModelName
from infra.cli.output import say
from models.catalogue import find_model_definition
from schemas.settings import Settings
from scoring.embedded.model_directory import load_directory, write_directory
from scoring.stores.champion import TIMEOUT_S, fetch_files


def download(
    directory: Annotated[Path, typer.Argument(help="Where to; made if it is missing.")],
    *,
    version: Annotated[
        str | None, typer.Option(help="Its number; the champion if left out.")
    ] = None,
    model: ModelName = None,
) -> None:
    """Write the files of a version into a directory, and check that they score as in training."""
    settings = Settings()
    definition = find_model_definition(settings, model or settings.model_name)
    name = definition.name
    registry = MlflowRest(settings.mlflow_tracking_uri, timeout_s=TIMEOUT_S)
    if version is None:
        found = registry.get_alias(model=name, alias=settings.champion_alias)
    else:
        found = registry.get_version(model=name, version=version)
    if found is None:
        which = "champion" if version is None else f"version {version}"
        raise UsageError(
            f"{name} has no {which}; `weir models list --model {name}` shows its versions"
        )
    write_directory(directory, fetch_files(registry, found), name=name, version=found.version)
    loaded = load_directory(directory, columns=definition.columns)
    say(f"{name} version {loaded.ref.version} is in {directory}")
