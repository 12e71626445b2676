"""A client of MLflow's REST interface: versions of registered models, aliases, tags and files.

Standard library only: importing MLflow's own client takes 6 s and 180 MB, and its loaders run
pickles. Each request has a connection of its own, a time limit and a size limit. Knows no rules:
`training.registry.versions` decides who is champion, `scoring.stores.champion` what is loaded.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from clients.circuit import CircuitBreaker
from clients.errors import ModelRegistryUnreachableError, ResponseTooLargeError

TIMEOUT_S: Final = 10.0
ARTIFACT_BYTES_MAX: Final = 256 * 1024 * 1024
"""Largest artifact that is read; a forest of 100 trees of depth 12 has about 5 MB."""
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
"""Largest JSON answer that is read."""
VERSIONS_MAX: Final = 1_000
"""How many versions of a model `MlflowRest.search_versions` gives at most."""
_API: Final = "/api/2.0/mlflow"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a registered model.

    Attributes:
        name: of the registered model.
        version: its number, as text.
        run_id: of the run that made it and holds its files; "" if there is none.
        aliases: that point at it.
        tags: key to value.
        created_ms: when it was registered, ms since 1970 UTC.
    """

    name: str
    version: str
    run_id: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    created_ms: int

    @property
    def definition_digest(self) -> str:
        """Of the feature definitions it was fitted on; "" if it has no such tag."""
        return self.tags.get("definition_digest", "")

    @property
    def trees_digest(self) -> str:
        """Of its compiled trees when it was registered; "" if it has no such tag."""
        return self.tags.get("trees_digest", "")


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A registered model, without its versions.

    Attributes:
        aliases: each alias and the number of the version it points at.
        tags: of the model itself, key to value.
    """

    aliases: Mapping[str, str]
    tags: Mapping[str, str]


class MlflowRest:
    """Asks one MLflow server (tested with 3.17). Safe to use from several threads.

    Every method blocks for at most some multiples of the time limit; `artifact` for as long as
    bytes keep coming. Every method raises ModelRegistryUnreachableError when the server does not
    answer, or answers something else than MLflow does; at once while the circuit is open, if it
    has been given one.
    """

    def __init__(
        self,
        tracking_uri: str,
        *,
        timeout_s: float = TIMEOUT_S,
        artifact_bytes_max: int = ARTIFACT_BYTES_MAX,
        circuit: CircuitBreaker | None = None,
    ) -> None:
        """Point at a server; nothing is sent before the first call.

        Args:
            tracking_uri: ``http://host:port``, or https.
            timeout_s: longest wait for one step of a request: connect, send, next bytes.
            artifact_bytes_max: largest artifact that is read.
            circuit: keeps a server that does not answer from being asked again at once; None for
                a program that asks once.

        Raises:
            ValueError: the address is not http or https.
        """
        parts = urlsplit(tracking_uri)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"mlflow_tracking_uri={tracking_uri!r} must be http:// or https://")
        self._uri = tracking_uri
        self._parts = parts
        self._timeout_s = timeout_s
        self._artifact_bytes_max = artifact_bytes_max
        self._circuit = circuit

    def check_reachable(self) -> None:
        """Return if there is an MLflow server at the address."""
        status, _ = self._send("GET", "/health", bytes_max=ANSWER_BYTES_MAX)
        if status != HTTPStatus.OK:
            raise self._unreachable(f"status {status} for /health")

    def get_alias(self, *, model: str, alias: str) -> ModelVersion | None:
        """Give the version an alias points at; None if there is no such model or alias."""
        status, answer = self._call("GET", "registered-models/alias", name=model, alias=alias)
        # MLflow answers 404 for an unknown model, and 400 for an unknown alias of a known model.
        # Only its own words count: without a champion, the scorer stops using its model.
        is_unknown_alias = status == HTTPStatus.BAD_REQUEST and f"alias {alias} not found" in str(
            answer.get("message")
        )
        if is_unknown_alias or _says_unknown(status, answer):
            return None
        self._check(status, answer, "registered-models/alias")
        return self._version(answer.get("model_version"))

    def set_alias(self, *, model: str, alias: str, version: str) -> None:
        """Point an alias at a version, in one request; it may have pointed elsewhere before."""
        self._post("registered-models/alias", name=model, alias=alias, version=version)

    def delete_alias(self, *, model: str, alias: str) -> None:
        """Remove an alias."""
        status, answer = self._call("DELETE", "registered-models/alias", name=model, alias=alias)
        self._check(status, answer, "registered-models/alias")

    def get_version(self, *, model: str, version: str) -> ModelVersion | None:
        """Give one version; None if the model has no such version."""
        status, answer = self._call("GET", "model-versions/get", name=model, version=version)
        # 400: what was asked for is not even a number.
        if status == HTTPStatus.BAD_REQUEST or _says_unknown(status, answer):
            return None
        self._check(status, answer, "model-versions/get")
        return self._version(answer.get("model_version"))

    def get_model(self, *, model: str) -> RegisteredModel | None:
        """Give the aliases and tags of a registered model, as of one moment; None if unknown."""
        status, answer = self._call("GET", "registered-models/get", name=model)
        if _says_unknown(status, answer):
            return None
        self._check(status, answer, "registered-models/get")
        try:
            entry = answer["registered_model"]
            return RegisteredModel(
                {str(one["alias"]): str(one["version"]) for one in entry.get("aliases", [])},
                {str(one["key"]): str(one["value"]) for one in entry.get("tags", [])},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise self._unreachable(f"its answer names no model: {error!r}") from error

    def set_model_tag(self, *, model: str, key: str, value: str) -> None:
        """Set one tag of a registered model."""
        self._post("registered-models/set-tag", name=model, key=key, value=value)

    def delete_model_tag(self, *, model: str, key: str) -> None:
        """Remove one tag of a registered model; nothing happens if it has no such tag."""
        what = "registered-models/delete-tag"
        status, answer = self._call("DELETE", what, name=model, key=key)
        self._check(status, answer, what)

    def search_versions(self, *, model: str) -> list[ModelVersion]:
        """Give the versions of a model with their aliases, newest first, `VERSIONS_MAX` at most."""
        found_model = self.get_model(model=model)
        if found_model is None:
            return []
        # A search does not tell the aliases of a version.
        aliases: dict[str, list[str]] = {}
        for alias, version in found_model.aliases.items():
            aliases.setdefault(version, []).append(alias)
        status, answer = self._call(
            "GET",
            "model-versions/search",
            filter=f"name='{model}'",
            max_results=str(VERSIONS_MAX),
        )
        self._check(status, answer, "model-versions/search")
        found = [self._version(entry, aliases) for entry in answer.get("model_versions", [])]
        return sorted(found, key=lambda entry: int(entry.version), reverse=True)

    def set_tag(self, *, model: str, version: str, key: str, value: str) -> None:
        """Set one tag of a version."""
        self._post("model-versions/set-tag", name=model, version=version, key=key, value=value)

    def artifact(self, *, run_id: str, path: str) -> bytes | None:
        """Read a file of a run; None if there is no such file or run.

        Raises:
            ResponseTooLargeError: the file is larger than ``artifact_bytes_max``.
        """
        query = urlencode({"run_uuid": run_id, "path": path}, quote_via=quote)
        limit = self._artifact_bytes_max
        status, body = self._send("GET", f"/get-artifact?{query}", bytes_max=limit)
        if status == HTTPStatus.NOT_FOUND:
            return None
        if status != HTTPStatus.OK:
            raise self._unreachable(f"status {status} for artifact {path}: {body[:200]!r}")
        if len(body) > limit:
            raise ResponseTooLargeError(
                f"artifact {path} of run {run_id} has more than {limit} bytes, the largest size "
                "that is read; no model of Weir's training is that large"
            )
        return body

    def _post(self, what: str, **fields: str) -> None:
        status, answer = self._call("POST", what, **fields)
        self._check(status, answer, what)

    def _call(self, method: str, what: str, **fields: str) -> tuple[int, dict[str, Any]]:
        target, body = f"{_API}/{what}", None
        if method == "GET":
            target += f"?{urlencode(fields)}"
        else:
            body = json.dumps(fields).encode()
        status, answer = self._send(method, target, body, bytes_max=ANSWER_BYTES_MAX)
        try:
            found = json.loads(answer)
        except ValueError as error:
            raise self._unreachable(
                f"status {status} and no JSON for {what}: {answer[:200]!r}; is it MLflow?"
            ) from error
        return status, found if isinstance(found, dict) else {}

    def _send(
        self, method: str, target: str, body: bytes | None = None, *, bytes_max: int
    ) -> tuple[int, bytes]:
        """Give status and body; one byte more than ``bytes_max`` shows that there is more."""
        if self._circuit is None:
            return self._sent(method, target, body, bytes_max=bytes_max)
        if not self._circuit.may_call():
            raise self._unreachable(
                f"it is not asked for {self._circuit.open_ms:g} ms after a failure"
            )
        try:
            found = self._sent(method, target, body, bytes_max=bytes_max)
        except ModelRegistryUnreachableError:
            self._circuit.failed()
            raise
        self._circuit.succeeded()
        return found

    def _sent(
        self, method: str, target: str, body: bytes | None, *, bytes_max: int
    ) -> tuple[int, bytes]:
        secure = self._parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(str(self._parts.hostname), self._parts.port, timeout=self._timeout_s)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            connection.request(method, self._parts.path.rstrip("/") + target, body, headers)
            response = connection.getresponse()
            return response.status, response.read(bytes_max + 1)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(f"{error!r} (time limit {self._timeout_s:g} s)") from error
        finally:
            connection.close()

    def _check(self, status: int, answer: Mapping[str, Any], what: str) -> None:
        if status != HTTPStatus.OK:
            raise self._unreachable(f"status {status} for {what}: {answer.get('message')}")

    def _version(self, entry: Any, aliases: Mapping[str, list[str]] | None = None) -> ModelVersion:
        try:
            number = str(entry["version"])
            named = entry.get("aliases") or (aliases or {}).get(number) or ()
            return ModelVersion(
                name=str(entry["name"]),
                version=number,
                run_id=str(entry.get("run_id", "")),
                aliases=tuple(str(alias) for alias in named),
                tags={tag["key"]: tag["value"] for tag in entry.get("tags", [])},
                created_ms=int(entry.get("creation_timestamp", 0)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._unreachable(f"its answer names no version: {error!r}") from error

    def _unreachable(self, why: str) -> ModelRegistryUnreachableError:
        return ModelRegistryUnreachableError(
            f"MLflow does not answer at {self._uri} (setting WEIR_MLFLOW_TRACKING_URI): "
            f"{why:.300}; start the stack with `weir up`"
        )


def _says_unknown(status: int, answer: Mapping[str, Any]) -> bool:
    """Whether MLflow says that there is no such thing; a proxy's 404 does not have this code."""
    return status == HTTPStatus.NOT_FOUND and answer.get("error_code") == "RESOURCE_DOES_NOT_EXIST"
