"""The option `--model` of commands that work on one model, and what it chooses."""

from typing import Annotated

import typer

from models.catalogue import find_model_definition, settings_of
from schemas.settings import Settings

ModelName = Annotated[
    str | None,
    typer.Option("--model", help="A model of the deployment; WEIR_MODEL_NAME by default."),
]


def settings_for(settings: Settings, model: str | None) -> Settings:
    """Give the settings with which commands find versions of a model.

    Args:
        settings: of the deployment.
        model: its name; None: the model of transactions.

    Raises:
        UnknownModelError, ModelDefinitionError: there is no such model.
    """
    if model is None:
        return settings
    return settings_of(settings, find_model_definition(settings, model))
