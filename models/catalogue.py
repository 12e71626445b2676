"""The models of a deployment: that of transactions, and those that the setting ``models`` names.

Imports the modules that the setting names, so only entry points and what they call use it; what
decides in the stream does not. Called by the API, by training and by batch scoring.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from models.definition import ModelDefinition
from models.encoding.vector import COLUMNS
from models.errors import ModelDefinitionError, UnknownModelError
from models.policy import Policy
from schemas.settings import Settings


def load_object(reference: str, kind: type, *, of: str) -> object:
    """Import what ``module:NAME`` names.

    Args:
        reference: ``module:NAME``.
        kind: what it must be.
        of: who names it, for the error message.

    Raises:
        ModelDefinitionError: there is no such module or name, or it is something else.
    """
    module, _, name = reference.partition(":")
    try:
        found: object = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ModelDefinitionError(
            f"{of} names {reference}, which cannot be imported: {error}; it is module:NAME, the "
            "module on Python's path"
        ) from error
    if not isinstance(found, kind):
        raise ModelDefinitionError(
            f"{of} names {reference}, which is a {type(found).__name__}, not a {kind.__name__}"
        )
    return found


def transaction_model(settings: Settings) -> ModelDefinition:
    """Give the definition of the model of transactions, which decides in the stream."""
    policy = Policy(
        review_threshold=settings.review_threshold, block_threshold=settings.block_threshold
    )
    return ModelDefinition(
        name=settings.model_name,
        columns=COLUMNS,
        policy=policy.of_any_model,
        entity="transaction",
        description="Whether a transaction is fraud; decides in the stream and at POST /predict.",
    )


def load_models(settings: Settings) -> Mapping[str, ModelDefinition]:
    """Give the definitions of a deployment by name, that of transactions first.

    Raises:
        ModelDefinitionError: a definition cannot be imported, or two have one name.
    """
    first = transaction_model(settings)
    found = {first.name: first}
    for reference in filter(None, settings.models.split(",")):
        definition = load_object(reference, ModelDefinition, of=f"WEIR_MODELS={settings.models}")
        assert isinstance(definition, ModelDefinition)
        if definition.name in found:
            raise ModelDefinitionError(
                f"WEIR_MODELS={settings.models} names two models {definition.name!r}; "
                "rename one of them"
            )
        found[definition.name] = definition
    return found


def find_model_definition(settings: Settings, name: str) -> ModelDefinition:
    """Give the definition of a name.

    Raises:
        UnknownModelError: no model has the name; it names those that there are.
        ModelDefinitionError: as `load_models`.
    """
    known = load_models(settings)
    if name not in known:
        raise UnknownModelError(
            f"there is no model {name!r:.80}; known are {', '.join(known)}: WEIR_MODELS names "
            "the definitions besides that of transactions"
        )
    return known[name]


def settings_of(settings: Settings, definition: ModelDefinition) -> Settings:
    """Give the settings with which a model is trained, registered and promoted under its name.

    The lowest and the highest threshold of its policy take the places of those of transactions.
    """
    if definition.name == settings.model_name:
        return settings
    thresholds = definition.policy.thresholds or (0.5,)
    return settings.model_copy(
        update={
            "model_name": definition.name,
            "review_threshold": thresholds[0],
            "block_threshold": thresholds[-1],
        }
    )
