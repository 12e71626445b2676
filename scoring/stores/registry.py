"""The MLflow adapter: watches an alias, fetches, checks, swaps; keeps the last good model.

`MlflowRegistry` speaks MLflow's REST interface and fetches the four files of `weir/` only:
importing MLflow itself would cost each process 180 MB and 6 s, and its loaders run pickles.
`ChampionWatcher` is the `ModelSource`: it polls in a thread of its own, so neither a slow
registry nor a broken version ever holds up a decision.
"""

from __future__ import annotations

import http.client
import json
import logging
import threading
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

from prometheus_client import Gauge

from models.errors import ModelRefusedError, SignatureMismatchError
from models.heuristic import HEURISTIC
from models.loaded import ModelFiles, load_model
from models.model import Model
from scoring.core.errors import RegistryUnavailableError
from scoring.metrics import Metrics

logger = logging.getLogger(__name__)

TIMEOUT_S = 5.0
"""Longest wait, in seconds, for one step of one request to the registry."""
FILE_BYTES_MAX = 256 * 1024 * 1024
"""Largest file of a version: a forest of 100 trees of depth 12 has some 5 MB."""
REFUSED_VERSIONS_MAX = 1_000
"""How many refused versions are remembered, so that each is fetched and told only once."""


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """A version as the registry describes it."""

    name: str
    version: str
    run_id: str
    trees_digest: str


class Registry(Protocol):
    """Where versions come from. Called by `ChampionWatcher`, from its thread."""

    def champion(self) -> RegisteredVersion | None:
        """Give the version the alias points at, None without one.

        Blocks: some multiples of 5 s at worst. Raises: RegistryUnavailableError.
        """
        ...

    def files(self, version: RegisteredVersion) -> ModelFiles:
        """Fetch the files of a version.

        Blocks: as long as bytes keep coming within 5 s of each other.
        Raises: RegistryUnavailableError, or SignatureMismatchError when a file is not there.
        """
        ...


class MlflowRegistry:
    """Reads one registered model of an MLflow server (tested with 3.17)."""

    def __init__(self, tracking_uri: str, *, model_name: str, alias: str) -> None:
        """Point at a server; nothing is sent before the first call.

        Args:
            tracking_uri: ``http://host:port``, or https.
            model_name: the registered model.
            alias: the alias to follow.

        Raises:
            ValueError: the address is not http or https.
        """
        parts = urlsplit(tracking_uri)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"mlflow_tracking_uri={tracking_uri!r} must be http:// or https://")
        self._parts = parts
        self._model_name = model_name
        self._alias = alias

    def champion(self) -> RegisteredVersion | None:
        """Ask for the alias; see `Registry`."""
        query = urlencode({"name": self._model_name, "alias": self._alias})
        status, body = self._get(f"/api/2.0/mlflow/registered-models/alias?{query}")
        answer = _json_object(body, status)
        # An unknown model is 404, an unknown alias of a known model is 400 with this code.
        if status == 404 or (status == 400 and "alias" in str(answer.get("message"))):
            return None
        if status != 200:
            raise RegistryUnavailableError(
                f"MLflow answered {status} for alias {self._alias!r}: {body[:200]!r}"
            )
        return _version_of(answer)

    def files(self, version: RegisteredVersion) -> ModelFiles:
        """Fetch three files of the version's run; see `Registry`."""
        return ModelFiles(
            trees=self._file(version, "weir/trees.onnx"),
            signature=self._file(version, "weir/signature.json"),
            golden=self._file(version, "weir/golden.json"),
        )

    def _file(self, version: RegisteredVersion, path: str) -> bytes:
        query = urlencode({"run_uuid": version.run_id, "path": path}, quote_via=quote)
        status, body = self._get(f"/get-artifact?{query}")
        if status == 404:
            raise SignatureMismatchError(
                f"model {version.name} version {version.version} has no file {path}; "
                "it was not registered by Weir's training, or not to its end"
            )
        if status != 200:
            raise RegistryUnavailableError(f"MLflow answered {status} for {path}: {body[:200]!r}")
        return body

    def _get(self, target: str) -> tuple[int, bytes]:
        parts = self._parts
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else (http.client.HTTPConnection)
        )
        connection = kind(str(parts.hostname), parts.port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", parts.path.rstrip("/") + target)
            response = connection.getresponse()
            body = response.read(FILE_BYTES_MAX + 1)
        except (OSError, http.client.HTTPException) as error:
            raise RegistryUnavailableError(
                f"MLflow at {parts.netloc} did not answer within {TIMEOUT_S:g} s: {error!r:.200}"
            ) from error
        finally:
            connection.close()
        if len(body) > FILE_BYTES_MAX:
            raise SignatureMismatchError(f"{target:.200} has more than {FILE_BYTES_MAX} bytes")
        return response.status, body


class ChampionWatcher:
    """The `ModelSource` of the scorer: the champion, or the last good model, or the heuristic.

    One thread polls every ``poll_ms``; `current` reads one reference, which Python swaps
    atomically. A refused version is told once (warning and metric) and remembered, so the
    alias may stay on it for days without another download or another line in the log.
    """

    def __init__(self, registry: Registry, *, poll_ms: int, metrics: Metrics) -> None:
        """Start with the heuristic; nothing is polled before `start` or `poll`.

        Args:
            registry: where versions come from.
            poll_ms: time between two looks at the alias, ms.
            metrics: where swaps and refusals are counted.
        """
        self._registry = registry
        self._poll_s = poll_ms / 1000
        self._metrics = metrics
        self._model: Model = HEURISTIC
        self._in_use: RegisteredVersion | None = None
        self._refused: dict[RegisteredVersion, str] = {}
        self._trouble: str | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._shown: Gauge | None = None
        self._show_model()

    def current(self) -> Model:
        """Give the model in use; see `scoring.core.ports.ModelSource`."""
        return self._model

    def refused(self) -> dict[str, str]:
        """Give the refused versions with the reason of each, oldest first."""
        return {version.version: reason for version, reason in self._refused.items()}

    def start(self) -> None:
        """Poll once, then go on polling in the background.

        Blocks: for the first poll, so that a worker that comes back decides with the champion
        from its first row on; at most some 20 s when the registry hangs, at once when it is
        down. Raises nothing: without a registry the heuristic decides.
        """
        self.poll()
        self._thread = threading.Thread(target=self._run, name="champion-watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop polling. Waits for a poll under way at most as long as a request may take."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=TIMEOUT_S)

    def poll(self) -> None:
        """Look at the alias once and swap when it has moved to a version that passes.

        Blocks: see `Registry`. Raises nothing the outside world can cause.
        """
        try:
            version = self._registry.champion()
            if version is None:
                self._note("the alias points at no version; the model in use stays")
                return
            if version != self._in_use and version not in self._refused:
                self._swap_to(version)
            if version not in self._refused:
                self._note(None)
        except RegistryUnavailableError as error:
            self._metrics.registry_failures.inc()
            self._note(f"{error}; the model in use stays")

    def _swap_to(self, version: RegisteredVersion) -> None:
        try:
            model = load_model(
                self._registry.files(version),
                name=version.name,
                version=version.version,
                trees_digest=version.trees_digest,
            )
        except ModelRefusedError as error:
            self._refuse(version, error)
            return
        before, self._model, self._in_use = self._model.ref, model, version
        logger.info("scoring with %s, before with %s", model.ref, before)
        self._metrics.model_swaps.inc()
        self._show_model()

    def _refuse(self, version: RegisteredVersion, error: ModelRefusedError) -> None:
        if len(self._refused) >= REFUSED_VERSIONS_MAX:
            self._refused.pop(next(iter(self._refused)))
        self._refused[version] = f"{type(error).__name__}: {error}"
        self._metrics.models_refused.labels(reason=type(error).__name__).inc()
        logger.warning("refused %s; scoring goes on with %s", error, self._model.ref)

    def _note(self, trouble: str | None) -> None:
        # Once when trouble begins or changes, once when it is over: a registry that is away
        # for a night must not fill the log.
        if trouble != self._trouble:
            if trouble is not None:
                logger.warning("model registry: %s", trouble)
            else:
                logger.info("model registry: in order again")
        self._trouble = trouble

    def _show_model(self) -> None:
        ref = self._model.ref
        shown = self._metrics.model_info.labels(
            name=ref.name, version=ref.version, digest=ref.digest
        )
        if self._shown is not None:
            self._shown.set(0)
        shown.set(1)
        self._shown = shown

    def _run(self) -> None:
        while not self._stopping.wait(self._poll_s):
            self.poll()


def _json_object(body: bytes, status: int) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise RegistryUnavailableError(
            f"MLflow answered {status} and no JSON: {body[:200]!r}; is it an MLflow server?"
        ) from error
    return value if isinstance(value, dict) else {}


def _version_of(answer: dict[str, Any]) -> RegisteredVersion:
    try:
        found = answer["model_version"]
        tags = {tag["key"]: tag["value"] for tag in found.get("tags", [])}
        return RegisteredVersion(
            name=found["name"],
            version=str(found["version"]),
            run_id=found.get("run_id", ""),
            trees_digest=tags.get("trees_digest", ""),
        )
    except (KeyError, TypeError) as error:
        raise RegistryUnavailableError(f"MLflow's answer names no version: {error!r}") from error
