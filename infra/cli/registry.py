"""Asks the model registry what there is, over MLflow's REST interface, by the standard library.

Importing mlflow takes seconds; a question takes milliseconds. Reads only.
"""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from schemas.errors import RetryableError
from schemas.settings import Settings

VERSIONS_MAX = 1_000
ANSWER_S_MAX = 10.0


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
    query = {"name": settings.model_name, "alias": settings.champion_alias}
    answer = _ask(settings, "registered-models/alias", query)
    return None if answer is None else _version(answer["model_version"])


def versions(settings: Settings) -> list[ModelVersion]:
    """All versions, newest first.

    Raises:
        RegistryUnreachableError: no answer.
    """
    query = {"filter": f"name='{settings.model_name}'", "max_results": str(VERSIONS_MAX)}
    found = _ask(settings, "model-versions/search", query) or {}
    listed = [_version(entry) for entry in found.get("model_versions", [])]
    # A search does not say who carries the alias.
    leading = champion(settings)
    marked = [
        leading if leading and entry.version == leading.version else entry for entry in listed
    ]
    return sorted(marked, key=lambda entry: int(entry.version), reverse=True)


def _ask(settings: Settings, what: str, query: dict[str, str]) -> dict[str, Any] | None:
    """The answer to a question; None when what it asks for does not exist."""
    uri = settings.mlflow_tracking_uri
    address = f"{uri}/api/2.0/mlflow/{what}?{urlencode(query)}"
    try:
        with urllib.request.urlopen(address, timeout=ANSWER_S_MAX) as answer:  # noqa: S310 - http
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        # An unknown model is 404, an unknown alias of a known model is 400.
        if error.code in (400, 404):
            return None
        raise _unreachable(uri, error) from error
    except (OSError, ValueError) as error:
        raise _unreachable(uri, error) from error


def _unreachable(uri: str, why: Exception) -> RegistryUnreachableError:
    return RegistryUnreachableError(
        f"MLflow does not answer at {uri} (setting WEIR_MLFLOW_TRACKING_URI): {why}; "
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
