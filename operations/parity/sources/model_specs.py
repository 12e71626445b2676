"""Reads from the registry by which specification the vectors of a model were encoded."""

from collections.abc import Callable
from functools import cache

from models.encoding.vector import VectorSpec
from schemas.decision import ModelRef
from schemas.settings import Settings
from training.registry.versions import ModelVersions, vector_spec_of


def registered_specs(settings: Settings) -> Callable[[ModelRef], VectorSpec | None]:
    """Give what finds a model's vector specification; it asks the registry once for each version.

    It gives None for a model that is not in the registry, such as the heuristic, and raises
    `ModelRegistryUnreachableError` if MLflow does not answer.
    """
    versions = ModelVersions.from_settings(settings)

    @cache
    def spec_of(model: ModelRef) -> VectorSpec | None:
        if model.name != settings.model_name:
            return None
        return vector_spec_of(versions, model.version)

    return spec_of
