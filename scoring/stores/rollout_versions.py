"""Which model versions a rollout may use: asked before it starts, so that nothing half-applies."""

from __future__ import annotations

from clients.mlflow_rest import MlflowRest
from features.definitions import DEFINITION_DIGEST
from models.artifact.load import load_model
from models.errors import ModelRefusedError
from schemas.errors import shown
from schemas.field_readers import refuse
from scoring.stores.champion import fetch_files


class RolloutVersions:
    """The versions of one registered model."""

    def __init__(self, registry: MlflowRest, *, model_name: str, champion_alias: str) -> None:
        """Point at a registry; nothing is asked before the first call."""
        self._registry = registry
        self._model_name = model_name
        self._alias = champion_alias

    def champion(self) -> str:
        """Give the number of the champion.

        Raises:
            InvalidEventError: there is none, so there is nothing to compare with.
            ModelRegistryUnreachableError: no answer.
        """
        found = self._registry.get_alias(model=self._model_name, alias=self._alias)
        if found is None:
            refuse(
                "champion",
                f"is missing: no version of {self._model_name} has the alias {self._alias}; "
                "`weir train` or `weir models promote` makes one",
            )
        return found.version

    def check(self, version: str) -> None:
        """Refuse a version that the scorer would refuse, by the same checks.

        Raises:
            InvalidEventError: it does not exist, has other feature definitions, or fails a check.
            ModelRegistryUnreachableError: no answer.
        """
        found = self._registry.get_version(model=self._model_name, version=version)
        if found is None:
            refuse(
                "version",
                f"is {shown(version)}: model {self._model_name} has no such version; "
                "`weir models list` names them",
            )
        if found.definition_digest != DEFINITION_DIGEST:
            refuse(
                "version",
                f"is {version}, fitted on feature definitions "
                f"{found.definition_digest or 'unknown'}; this code computes {DEFINITION_DIGEST}: "
                "train again",
            )
        try:
            load_model(
                fetch_files(self._registry, found),
                name=found.name,
                version=found.version,
                trees_digest=found.trees_digest,
            )
        except ModelRefusedError as error:
            refuse("version", f"is {version}, which the scorer refuses: {error}")
