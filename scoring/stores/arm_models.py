"""The model versions of the arms of a rollout: loaded once each, checked as a champion is.

Loading runs in a thread of its own, because a registry that hangs takes many seconds. Called by the
thread of `scoring.stores.rollouts`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Set
from typing import Final

from clients.errors import ModelRegistryUnreachableError
from clients.mlflow_rest import MlflowRest
from models.artifact.files import ModelFiles
from models.artifact.load import load_model
from models.errors import ModelRefusedError
from models.model import Model
from schemas.rollout import Rollout
from scoring.core.last_good import without_remarks
from scoring.core.ports import ModelSource
from scoring.stores.champion import fetch_files
from scoring.stores.kept_models import KeptModels, KeptVersion

logger = logging.getLogger(__name__)

POLLS_BETWEEN_TRIES: Final = 4
"""How often the follower waits in vain for a change before a version is asked for again."""
LOADING_MS_MAX: Final = 60_000
"""How long a process waits for the versions of a rollout before it uses it without them, ms."""


class ArmModels:
    """The loaded versions of one rollout; called by one thread.

    A version that has been loaded has scored its golden rows, so it is warm. A version that is
    refused is remembered with the reason; one that the registry did not give is asked for again.

    Attributes:
        refused: versions that will never score, with the reasons.
    """

    def __init__(
        self,
        registry: MlflowRest,
        *,
        champion: ModelSource,
        model_name: str,
        clock_ms: Callable[[], float],
        kept: KeptModels | None = None,
    ) -> None:
        """Start with nothing loaded.

        Args:
            registry: where versions come from.
            champion: its model is used for an arm of the same version.
            model_name: the registered model.
            clock_ms: a clock that never goes back, ms.
            kept: the files of versions on the disk, used while the registry is away; None to keep
                none.
        """
        self._registry = registry
        self._champion = champion
        self._model_name = model_name
        self._clock_ms = clock_ms
        self._kept = kept
        self._waits_for: str | None = None
        self._waits_since_ms = 0.0
        self._loaded: dict[str, Model] = {}
        self._polls_left = POLLS_BETWEEN_TRIES
        self._asked_for: str | None = None
        self._loading: threading.Thread | None = None
        self.refused: dict[str, str] = {}

    def of(self, rollout: Rollout) -> dict[str, Model | None]:
        """Give the model of each arm as far as it is loaded, by the name of the arm."""
        return {arm.name: self._loaded.get(arm.version) for arm in rollout.arms}

    def is_due(self, rollout: Rollout) -> bool:
        """Say whether a version is missing and it is time to ask for it, or to ask again.

        To be called once for each wait of the follower.
        """
        if self.is_loading() or not self._missing(rollout):
            return False
        if self._asked_for != rollout.rollout_id:
            return True
        self._polls_left -= 1
        return self._polls_left <= 0

    def must_wait(self, rollout: Rollout) -> bool:
        """Say whether a rollout is not to be used yet: the registry still owes a version.

        True for at most `LOADING_MS_MAX` after the first call for a rollout. A refused version is
        not waited for.
        """
        if self._waits_for != rollout.rollout_id:
            self._waits_for, self._waits_since_ms = rollout.rollout_id, self._clock_ms()
        if not self._missing(rollout):
            return False
        return self._clock_ms() - self._waits_since_ms < LOADING_MS_MAX

    def is_loading(self) -> bool:
        """Say whether versions are being loaded at present."""
        return self._loading is not None and self._loading.is_alive()

    def load(self, rollout: Rollout, *, wait_s: float) -> None:
        """Begin to load the versions that are missing; drop those of other rollouts.

        Blocks: until they are loaded, at most ``wait_s``; then it goes on by itself. Raises
        nothing. Not to be called while `is_loading`.
        """
        self._asked_for = rollout.rollout_id
        self._polls_left = POLLS_BETWEEN_TRIES
        self._keep({arm.version for arm in rollout.arms})
        self._loading = threading.Thread(
            target=self._load_all, args=(self._missing(rollout),), name="arm-models", daemon=True
        )
        self._loading.start()
        self._loading.join(wait_s)

    def forget(self) -> None:
        """Drop all versions, unless some are being loaded."""
        if not self.is_loading():
            self._keep(set())

    def _load_all(self, versions: list[str]) -> None:
        for version in versions:
            self._load(version)

    def _keep(self, versions: Set[str]) -> None:
        self._loaded = {name: each for name, each in self._loaded.items() if name in versions}
        self.refused = {name: why for name, why in self.refused.items() if name in versions}

    def _missing(self, rollout: Rollout) -> list[str]:
        known = self._loaded.keys() | self.refused.keys()
        return [arm.version for arm in rollout.arms if arm.version not in known]

    def _load(self, version: str) -> None:
        champion = without_remarks(self._champion.current())
        if (champion.ref.name, champion.ref.version) == (self._model_name, version):
            self._loaded[version] = champion
            return
        try:
            self._loaded[version] = self._fetched(version)
        except ModelRegistryUnreachableError as error:
            if self._is_loaded_from_disk(version):
                return
            logger.warning("rollouts: version %s is not loaded yet: %s", version, error)
        except ModelRefusedError as error:
            self.refused[version] = f"{type(error).__name__}: {error}"
            logger.warning("rollouts: version %s is refused: %s", version, error)

    def _fetched(self, version: str) -> Model:
        found = self._registry.get_version(model=self._model_name, version=version)
        if found is None:
            raise ModelRefusedError(f"model {self._model_name} has no version {version}")
        files = fetch_files(self._registry, found)
        model = self._checked(version, found.trees_digest, files)
        if self._kept is not None:
            kept = KeptVersion(version, found.run_id, found.trees_digest, files)
            self._kept.keep(kept, is_in_use=False)
        return model

    def _is_loaded_from_disk(self, version: str) -> bool:
        kept = None if self._kept is None else self._kept.of(version)
        if kept is None:
            return False
        try:
            self._loaded[version] = self._checked(version, kept.trees_digest, kept.files)
        except ModelRefusedError as error:
            logger.warning("rollouts: version %s on the disk is refused: %s", version, error)
            return False
        logger.info("rollouts: version %s comes from the disk: the registry is away", version)
        return True

    def _checked(self, version: str, trees_digest: str, files: ModelFiles) -> Model:
        return load_model(files, name=self._model_name, version=version, trees_digest=trees_digest)
