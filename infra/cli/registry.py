"""Asks the model registry what there is, over MLflow's REST interface, by the standard library.

Importing mlflow takes seconds; a question takes milliseconds. Reads only.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from infra.local.readiness import get_json, http_answers
from schemas.errors import RetryableError
from schemas.settings import Settings

VERSIONS_MAX = 1_000


class RegistryUnreachableError(RetryableError):
    """MLflow does not answer."""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of the registered model.

    Attributes:
        version: its number, as text.
        aliases: names that point at it.
        definition_digest: of the features it was fitted on; "" when it does not say.
        created_ms: when it was registered, ms since 1970 UTC.
    """

    version: str
    aliases: tuple[str, ...]
    definition_digest: str
    created_ms: int


def champion(settings: Settings) -> ModelVersion | None:
    """The version that decides; None when there is none yet.

    Raises:
        RegistryUnreachableError: no answer.
    """
    _check(settings)
    query = urlencode({"name": settings.model_name, "alias": settings.champion_alias})
    answer = get_json(
        f"{settings.mlflow_tracking_uri}/api/2.0/mlflow/registered-models/alias?{query}"
    )
    return None if answer is None else _version(answer["model_version"])


def versions(settings: Settings) -> list[ModelVersion]:
    """All versions, newest first.

    Raises:
        RegistryUnreachableError: no answer.
    """
    _check(settings)
    query = urlencode({"filter": f"name='{settings.model_name}'", "max_results": VERSIONS_MAX})
    found = get_json(f"{settings.mlflow_tracking_uri}/api/2.0/mlflow/model-versions/search?{query}")
    listed = [_version(entry) for entry in (found or {}).get("model_versions", [])]
    # A search does not say who carries the alias.
    leading = champion(settings)
    marked = [
        leading if leading and entry.version == leading.version else entry for entry in listed
    ]
    return sorted(marked, key=lambda entry: int(entry.version), reverse=True)


def _check(settings: Settings) -> None:
    uri = settings.mlflow_tracking_uri
    if not http_answers(f"{uri}/health"):
        raise RegistryUnreachableError(
            f"MLflow does not answer at {uri} (setting WEIR_MLFLOW_TRACKING_URI); "
            "start the stack with `weir up`"
        )


def _version(entry: dict[str, Any]) -> ModelVersion:
    tags = {tag["key"]: tag["value"] for tag in entry.get("tags", [])}
    return ModelVersion(
        version=str(entry["version"]),
        aliases=tuple(str(alias) for alias in entry.get("aliases", [])),
        definition_digest=tags.get("definition_digest", ""),
        created_ms=int(entry.get("creation_timestamp", 0)),
    )
