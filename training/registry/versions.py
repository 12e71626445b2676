"""The rules for promotion and rollback of the versions of one registered model.

A promotion moves the alias in one request and sets all tags before or after it, so there is
exactly one champion at every moment. `clients.mlflow_rest` sends the requests, in milliseconds
where importing mlflow takes seconds. `training.registry.register` creates versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from clients.mlflow_rest import MlflowRest, ModelVersion
from features.definitions import DEFINITION_DIGEST
from models.artifact.files import SIGNATURE_PATH
from models.artifact.signature import Signature
from models.encoding.vector import VectorSpec
from models.errors import SignatureMismatchError
from schemas.settings import Settings
from training.errors import (
    NoEarlierChampionError,
    NoSuchVersionError,
    OtherDefinitionsVersionError,
)
from training.registry.gate import PassedGate

TAG_STATUS: Final = "status"
"""registered, champion, challenger, archived or rolled back. Informational only: the alias is
authoritative."""
TAG_REPLACED: Final = "replaced"
"""The version that was champion before this one; a rollback goes there."""
TAG_REASON: Final = "reason"
"""Why it was promoted, or not."""
TAG_PARITY: Final = "parity_values_checked"
"""How many values the parity gate had compared when the version was promoted; none differed."""

REGISTERED = "registered"
"""Complete, and no alias points at it yet."""
CHAMPION, CHALLENGER, ARCHIVED, ROLLED_BACK = "champion", "challenger", "archived", "rolled back"


class ModelVersions:
    """The versions of one registered model.

    Every method raises ModelRegistryUnreachableError when MLflow does not answer; `champion` then
    tells which version decides.
    """

    def __init__(
        self, tracking_uri: str, *, model_name: str, champion_alias: str, challenger_alias: str
    ) -> None:
        """Point at a server; nothing is sent before the first call.

        Args:
            tracking_uri: ``http://host:port``.
            model_name: the registered model.
            champion_alias: the alias of the version that decides.
            challenger_alias: the alias of the newest version that was not promoted.
        """
        self._registry = MlflowRest(tracking_uri)
        self._name = model_name
        self._champion_alias = champion_alias
        self._challenger_alias = challenger_alias

    @classmethod
    def from_settings(cls, settings: Settings) -> ModelVersions:
        """Point at the server and the model of a deployment."""
        return cls(
            settings.mlflow_tracking_uri,
            model_name=settings.model_name,
            champion_alias=settings.champion_alias,
            challenger_alias=settings.challenger_alias,
        )

    def champion(self) -> ModelVersion | None:
        """The version that decides; None if there is none yet."""
        return self._registry.get_alias(model=self._name, alias=self._champion_alias)

    def all(self) -> list[ModelVersion]:
        """All versions, newest first."""
        return self._registry.search_versions(model=self._name)

    def get(self, version: str) -> ModelVersion:
        """One version.

        Raises:
            NoSuchVersionError: there is none of this number.
        """
        found = self._registry.get_version(model=self._name, version=version)
        if found is None:
            raise NoSuchVersionError(
                f"model {self._name} has no version {version!r:.40}; `weir models list` names them"
            )
        return found

    def artifact(self, version: ModelVersion, path: str) -> bytes | None:
        """The bytes of a file of a version; None if it has no such file."""
        return self._registry.artifact(run_id=version.run_id, path=path)

    def promote(self, version: str, *, gate: PassedGate, reason: str) -> ModelVersion | None:
        """Make a version the champion; the champion until then is archived, not deleted.

        Called by `operations.promotion` alone, which asks the parity gate first.

        Delivery: the alias moves in one request. A failure before it leaves the champion as it
        was; a failure after it leaves tags that are out of date, never two champions.
        Blocks: a handful of requests of at most 10 s each.

        Args:
            version: its number.
            gate: evidence that parity was 0, kept as a tag.
            reason: why, kept as a tag.

        Returns:
            The champion until then; None if there was none, or it was this version.

        Raises:
            NoSuchVersionError: there is none of this number.
            OtherDefinitionsVersionError: the scorer would refuse it.
        """
        wanted = self.get(version)
        self._check_definitions(wanted)
        before = self.champion()
        if before is not None and before.version == wanted.version:
            return None
        self.tag(version, {TAG_REASON: reason, TAG_PARITY: str(gate.values_checked)})
        if before is not None:
            self.tag(version, {TAG_REPLACED: before.version})
        self._point(self._champion_alias, version)
        self.tag(version, {TAG_STATUS: CHAMPION})
        if before is not None:
            self.tag(before.version, {TAG_STATUS: ARCHIVED})
        challenger = self._registry.get_alias(model=self._name, alias=self._challenger_alias)
        if challenger is not None and challenger.version == version:
            self._registry.delete_alias(model=self._name, alias=self._challenger_alias)
        return before

    def roll_back(self) -> tuple[ModelVersion, ModelVersion]:
        """Make the version champion again that the present champion replaced.

        Does not ask the parity gate: that version passed it when it became champion, and a
        rollback must be fast, above all while something is wrong.

        Delivery and blocking: as `promote`.

        Returns:
            The champion until now, and the champion from now on.

        Raises:
            NoEarlierChampionError: the champion replaced no version, or there is none.
            OtherDefinitionsVersionError: the scorer would refuse the earlier one.
        """
        champion = self.champion()
        replaced = champion.tags.get(TAG_REPLACED) if champion else None
        if champion is None or not replaced:
            what = f"champion version {champion.version} replaced" if champion else "there is"
            raise NoEarlierChampionError(
                f"{what} no champion of {self._name}, so there is nothing to go back to; "
                "`weir models promote VERSION` names a version"
            )
        earlier = self.get(replaced)
        self._check_definitions(earlier)
        self._point(self._champion_alias, earlier.version)
        self.tag(earlier.version, {TAG_STATUS: CHAMPION})
        self.tag(champion.version, {TAG_STATUS: ROLLED_BACK})
        return champion, earlier

    def name_challenger(self, version: str, *, reason: str) -> None:
        """Keep a version that was not promoted under the challenger's alias, with the reason."""
        self.tag(version, {TAG_STATUS: CHALLENGER, TAG_REASON: reason})
        self._point(self._challenger_alias, version)

    def tag(self, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        for key, value in tags.items():
            self._registry.set_tag(model=self._name, version=version, key=key, value=value)

    def _point(self, alias: str, version: str) -> None:
        self._registry.set_alias(model=self._name, alias=alias, version=version)

    def _check_definitions(self, version: ModelVersion) -> None:
        if version.definition_digest != DEFINITION_DIGEST:
            raise OtherDefinitionsVersionError(
                f"model {self._name} version {version.version} was fitted on feature definitions "
                f"{version.definition_digest or 'unknown'}, this code computes "
                f"{DEFINITION_DIGEST}: the scorer would refuse it; train again"
            )


def vector_spec_of(versions: ModelVersions, version: str) -> VectorSpec | None:
    """Give the specification that a version's vectors are made by; None if it is not known.

    Raises:
        ModelRegistryUnreachableError: no answer.
    """
    try:
        content = versions.artifact(versions.get(version), SIGNATURE_PATH)
        if content is None:
            return None
        return Signature.read(content, of=f"model version {version}").vector_spec()
    except (NoSuchVersionError, SignatureMismatchError):
        return None
