"""The model versions of the arms of a rollout: loaded once each, checked as a champion is.

Called by the thread of `scoring.stores.rollouts`.
"""

from __future__ import annotations

import logging
from collections.abc import Set
from typing import Final

from clients.errors import ModelRegistryUnreachableError
from clients.mlflow_rest import MlflowRest
from models.artifact.load import load_model
from models.errors import ModelRefusedError
from models.model import Model
from schemas.rollout import Rollout
from scoring.core.ports import ModelSource
from scoring.stores.champion import fetch_files

logger = logging.getLogger(__name__)

POLLS_BETWEEN_TRIES: Final = 4
"""How often the follower waits in vain for a change before a version is asked for again."""


class ArmModels:
    """The loaded versions of one rollout; for one thread.

    A version that has been loaded has scored its golden rows, so it is warm. A version that is
    refused is remembered with the reason; one that the registry did not give is asked for again.

    Attributes:
        refused: versions that will never score, with the reasons.
    """

    def __init__(self, registry: MlflowRest, *, champion: ModelSource, model_name: str) -> None:
        """Start with nothing loaded.

        Args:
            registry: where versions come from.
            champion: its model is used for an arm of the same version.
            model_name: the registered model.
        """
        self._registry = registry
        self._champion = champion
        self._model_name = model_name
        self._loaded: dict[str, Model] = {}
        self._polls_left = POLLS_BETWEEN_TRIES
        self.refused: dict[str, str] = {}

    def of(self, rollout: Rollout) -> dict[str, Model | None]:
        """Give the model of each arm as far as it is loaded, by the name of the arm."""
        return {arm.name: self._loaded.get(arm.version) for arm in rollout.arms}

    def load(self, rollout: Rollout) -> None:
        """Load the versions that are missing.

        Blocks: some multiples of the registry's time limit at worst. Raises nothing.
        """
        self._polls_left = POLLS_BETWEEN_TRIES
        for version in self._missing(rollout):
            self._load(version)

    def is_retry_due(self, rollout: Rollout) -> bool:
        """Say whether a version is missing and it is time to ask for it again."""
        if not self._missing(rollout):
            return False
        self._polls_left -= 1
        return self._polls_left <= 0

    def keep(self, versions: Set[str]) -> None:
        """Drop the models and refusals of all other versions."""
        self._loaded = {name: each for name, each in self._loaded.items() if name in versions}
        self.refused = {name: why for name, why in self.refused.items() if name in versions}

    def _missing(self, rollout: Rollout) -> list[str]:
        known = self._loaded.keys() | self.refused.keys()
        return [arm.version for arm in rollout.arms if arm.version not in known]

    def _load(self, version: str) -> None:
        champion = self._champion.current()
        if (champion.ref.name, champion.ref.version) == (self._model_name, version):
            self._loaded[version] = champion
            return
        try:
            self._loaded[version] = self._fetched(version)
        except ModelRegistryUnreachableError as error:
            logger.warning("rollouts: version %s is not loaded yet: %s", version, error)
        except ModelRefusedError as error:
            self.refused[version] = f"{type(error).__name__}: {error}"
            logger.warning("rollouts: version %s is refused: %s", version, error)

    def _fetched(self, version: str) -> Model:
        found = self._registry.get_version(model=self._model_name, version=version)
        if found is None:
            raise ModelRefusedError(f"model {self._model_name} has no version {version}")
        return load_model(
            fetch_files(self._registry, found),
            name=found.name,
            version=found.version,
            trees_digest=found.trees_digest,
        )
