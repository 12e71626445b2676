"""The registered versions and who is champion, over MLflow's REST interface.

By the standard library: importing mlflow takes seconds, a rollback should take milliseconds. Owns
what a promotion and a rollback are: the alias moves in one request, and everything else is said
before or after it, so that there is one champion at every moment. `register` makes versions.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from features.definitions import DEFINITION_DIGEST
from models.encoding.vector import VectorSpec
from schemas.settings import Settings
from training.errors import (
    ModelRegistryUnreachableError,
    NoEarlierChampionError,
    NoSuchVersionError,
    OtherDefinitionsVersionError,
)

VERSIONS_MAX: Final = 1_000
ANSWER_S_MAX: Final = 10.0

TAG_STATUS: Final = "status"
"""registered, champion, challenger, archived or rolled back. For people: who decides the alias
says."""
TAG_REPLACED: Final = "replaced"
"""The version that was champion before this one; where a rollback goes."""
TAG_REASON: Final = "reason"
"""Why it was promoted, or not."""

REGISTERED = "registered"
"""Whole, and nobody has pointed at it yet."""
CHAMPION, CHALLENGER, ARCHIVED, ROLLED_BACK = "champion", "challenger", "archived", "rolled back"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of the registered model.

    Attributes:
        version: its number, as text.
        run_id: of the run that made it; its artifacts are there.
        aliases: names that point at it.
        tags: what is said of it: status, lineage, digests.
        created_ms: when it was registered, ms since 1970 UTC.
    """

    version: str
    run_id: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    created_ms: int

    @property
    def definition_digest(self) -> str:
        """Of the features it was fitted on; "" when it does not say."""
        return self.tags.get("definition_digest", "")


class ModelVersions:
    """The versions of one registered model of an MLflow server (tested with 3.17)."""

    def __init__(
        self, tracking_uri: str, *, model_name: str, champion_alias: str, challenger_alias: str
    ) -> None:
        """Point at a server; nothing is asked before the first call.

        Args:
            tracking_uri: ``http://host:port``.
            model_name: the registered model.
            champion_alias: what the version that decides is called.
            challenger_alias: what the newest version that was not promoted is called.
        """
        self._uri = tracking_uri
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
        """The version that decides; None when there is none yet.

        Raises:
            ModelRegistryUnreachableError: no answer.
        """
        answer = self._ask("registered-models/alias", name=self._name, alias=self._champion_alias)
        return None if answer is None else _version(answer["model_version"], {})

    def all(self) -> list[ModelVersion]:
        """All versions, newest first.

        Raises:
            ModelRegistryUnreachableError: no answer.
        """
        model = self._ask("registered-models/get", name=self._name)
        if model is None:
            return []
        found = self._ask(
            "model-versions/search", filter=f"name='{self._name}'", max_results=str(VERSIONS_MAX)
        )
        # A search does not say who carries which alias.
        aliases: dict[str, list[str]] = {}
        for entry in model["registered_model"].get("aliases", []):
            aliases.setdefault(str(entry["version"]), []).append(str(entry["alias"]))
        listed = [_version(entry, aliases) for entry in (found or {}).get("model_versions", [])]
        return sorted(listed, key=lambda entry: int(entry.version), reverse=True)

    def get(self, version: str) -> ModelVersion:
        """One version.

        Raises:
            NoSuchVersionError: there is none of this number.
            ModelRegistryUnreachableError: no answer.
        """
        answer = self._ask("model-versions/get", name=self._name, version=version)
        if answer is None:
            raise NoSuchVersionError(
                f"model {self._name} has no version {version!r:.40}; `weir models list` names them"
            )
        return _version(answer["model_version"], {})

    def artifact(self, version: ModelVersion, path: str) -> bytes | None:
        """The bytes of a file of a version; None when it has no such file.

        Raises:
            ModelRegistryUnreachableError: no answer.
        """
        query = urlencode({"path": path, "run_uuid": version.run_id})
        return self._open(f"{self._uri}/get-artifact?{query}")

    def promote(self, version: str, *, reason: str) -> ModelVersion | None:
        """Make a version the champion; the champion until then is archived, not deleted.

        Delivery: the alias moves in one request. Whatever fails before it leaves the champion as
        it was; whatever fails after it leaves tags that are out of date, never two champions.
        Blocks: a handful of requests of at most 10 s each.

        Args:
            version: its number.
            reason: why, kept as a tag.

        Returns:
            The champion until then; None if there was none, or it was this version.

        Raises:
            NoSuchVersionError: there is none of this number.
            OtherDefinitionsVersionError: the scorer would refuse it.
            ModelRegistryUnreachableError: no answer; `champion` says who decides.
        """
        wanted = self.get(version)
        self._check_definitions(wanted)
        before = self.champion()
        if before is not None and before.version == wanted.version:
            return None
        self.tag(version, {TAG_REASON: reason})
        if before is not None:
            self.tag(version, {TAG_REPLACED: before.version})
        self._move(self._champion_alias, version)
        self.tag(version, {TAG_STATUS: CHAMPION})
        if before is not None:
            self.tag(before.version, {TAG_STATUS: ARCHIVED})
        challenger = self._ask(
            "registered-models/alias", name=self._name, alias=self._challenger_alias
        )
        if challenger is not None and str(challenger["model_version"]["version"]) == version:
            self._delete_alias(self._challenger_alias)
        return before

    def roll_back(self) -> tuple[ModelVersion, ModelVersion]:
        """Make the version champion again that the present champion replaced.

        Delivery and blocking: as `promote`.

        Returns:
            The champion until now, and the champion from now on.

        Raises:
            NoEarlierChampionError: the champion replaced nothing, or there is none.
            OtherDefinitionsVersionError: the scorer would refuse the earlier one.
            ModelRegistryUnreachableError: no answer; `champion` says who decides.
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
        self._move(self._champion_alias, earlier.version)
        self.tag(earlier.version, {TAG_STATUS: CHAMPION})
        self.tag(champion.version, {TAG_STATUS: ROLLED_BACK})
        return champion, earlier

    def name_challenger(self, version: str, *, reason: str) -> None:
        """Keep a version that was not promoted under the challenger's alias, with the reason.

        Raises:
            ModelRegistryUnreachableError: no answer; the champion is what it was.
        """
        self.tag(version, {TAG_STATUS: CHALLENGER, TAG_REASON: reason})
        self._move(self._challenger_alias, version)

    def tag(self, version: str, tags: Mapping[str, str]) -> None:
        """Say something of a version.

        Raises:
            ModelRegistryUnreachableError: no answer.
        """
        for key, value in tags.items():
            body = {"name": self._name, "version": version, "key": key, "value": value}
            self._tell("model-versions/set-tag", body)

    def _check_definitions(self, version: ModelVersion) -> None:
        if version.definition_digest != DEFINITION_DIGEST:
            raise OtherDefinitionsVersionError(
                f"model {self._name} version {version.version} was fitted on feature definitions "
                f"{version.definition_digest or 'unknown'}, this code computes "
                f"{DEFINITION_DIGEST}: the scorer would refuse it; train again"
            )

    def _move(self, alias: str, version: str) -> None:
        body = {"name": self._name, "alias": alias, "version": version}
        self._tell("registered-models/alias", body)

    def _delete_alias(self, alias: str) -> None:
        self._tell("registered-models/alias", {"name": self._name, "alias": alias}, method="DELETE")

    def _ask(self, what: str, **query: str) -> dict[str, Any] | None:
        """The answer to a question; None when what it asks for does not exist."""
        body = self._open(f"{self._uri}/api/2.0/mlflow/{what}?{urlencode(query)}")
        return None if body is None else self._object(body)

    def _tell(self, what: str, body: Mapping[str, str], *, method: str = "POST") -> None:
        request = urllib.request.Request(  # noqa: S310 - http
            f"{self._uri}/api/2.0/mlflow/{what}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        if self._open(request) is None:
            raise self._unreachable(f"it knows nothing of {body}")

    def _open(self, request: str | urllib.request.Request) -> bytes | None:
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S_MAX) as answer:  # noqa: S310
                body: bytes = answer.read()
                return body
        except urllib.error.HTTPError as error:
            # An unknown model is 404, an unknown alias of a known model is 400.
            if error.code in (400, 404):
                return None
            raise self._unreachable(error) from error
        except OSError as error:
            raise self._unreachable(error) from error

    def _object(self, body: bytes) -> dict[str, Any]:
        try:
            found = json.loads(body)
        except ValueError as error:
            raise self._unreachable(error) from error
        return found if isinstance(found, dict) else {}

    def _unreachable(self, why: object) -> ModelRegistryUnreachableError:
        return ModelRegistryUnreachableError(
            f"MLflow does not answer at {self._uri} (setting WEIR_MLFLOW_TRACKING_URI): "
            f"{why!s:.300}; start the stack with `weir up`"
        )


def vector_spec_of(versions: ModelVersions, version: str) -> VectorSpec | None:
    """Give the specification that a version's vectors are made by; None if it is not known.

    Raises:
        ModelRegistryUnreachableError: no answer.
    """
    try:
        signature = versions.artifact(versions.get(version), "weir/signature.json")
        return None if signature is None else VectorSpec.from_signature(signature)
    except (NoSuchVersionError, ValueError):
        return None


def _version(entry: dict[str, Any], aliases: Mapping[str, list[str]]) -> ModelVersion:
    number = str(entry["version"])
    return ModelVersion(
        version=number,
        run_id=str(entry.get("run_id", "")),
        aliases=tuple(str(alias) for alias in entry.get("aliases") or aliases.get(number) or ()),
        tags={tag["key"]: tag["value"] for tag in entry.get("tags", [])},
        created_ms=int(entry.get("creation_timestamp", 0)),
    )
