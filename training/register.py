"""The MLflow adapter of training: a run, its files, and last the version that names them.

Owns the order in which a version comes to be: it exists only when it is whole, with all its tags.
Who is champion is `versions`'. Called by `train`; `scoring.registry` reads what is written here.
"""

from __future__ import annotations

import http.client
import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
import mlflow.sklearn
import sklearn
from mlflow.exceptions import MlflowException
from sklearn.ensemble import RandomForestClassifier

from features.definitions import DEFINITION_DIGEST
from training.compiled import CompiledModel
from training.errors import ModelRegistryUnreachableError

logger = logging.getLogger(__name__)

HEALTH_TIMEOUT_S = 5.0
"""Longest wait, s, for the server to say that it is there."""
FILES = {"weir/trees.tl": "trees", "weir/signature.json": "signature", "weir/golden.json": "golden"}
"""Artifact to attribute of `CompiledModel`."""


@dataclass(frozen=True, slots=True)
class RegisteredModelVersion:
    """A version that was registered. Nobody points at it yet."""

    name: str
    version: str
    run_id: str
    trees_digest: str


class ModelRegistry:
    """Writes versions of one registered model of an MLflow server."""

    def __init__(self, tracking_uri: str, *, model_name: str) -> None:
        """Point at a server; nothing is sent before the first call.

        Args:
            tracking_uri: ``http://host:port``.
            model_name: the registered model; its experiment has the same name.
        """
        self._tracking_uri = tracking_uri
        self._model_name = model_name

    def check_reachable(self) -> None:
        """Fail early, before minutes of work: MLflow's own client retries for minutes.

        Blocks: at most 5 s.

        Raises:
            ModelRegistryUnreachableError: there is no MLflow server at the address.
        """
        parts = urlsplit(self._tracking_uri)
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=HEALTH_TIMEOUT_S
        )
        try:
            connection.request("GET", f"{parts.path.rstrip('/')}/health")
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(repr(error)) from error
        finally:
            connection.close()
        if status != http.HTTPStatus.OK:
            raise self._unreachable(f"/health answers {status}")

    def register(
        self,
        forest: RandomForestClassifier,
        compiled: CompiledModel,
        *,
        params: Mapping[str, object],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        files: Mapping[str, bytes],
    ) -> RegisteredModelVersion:
        """Log a run with its model and files, and register that as a new version.

        Delivery: the version is made last, in one request with all its tags, after every file of
        ``weir/`` was read back. Whatever fails before takes the run away again.
        Blocks: some seconds; each request is bounded by MLflow's own settings.

        Args:
            forest: the estimator, for people.
            compiled: what the scorer loads.
            params: of the run.
            metrics: of the run.
            tags: of the version, besides the digests of definitions and trees.
            files: further artifacts, by path.

        Raises:
            ModelRegistryUnreachableError: MLflow failed; the champion is what it was before.
        """
        self.check_reachable()
        _say_less()
        try:
            client = mlflow.MlflowClient(self._tracking_uri)
            run_id: str = client.create_run(self._experiment(client)).info.run_id
            try:
                _log_values(client, run_id, params=params, metrics=metrics)
                self._log_files(client, run_id, forest, compiled, files)
                client.set_terminated(run_id)
                version = self._create_version(client, run_id, compiled, tags)
            except BaseException:
                _take_away(client, run_id)
                raise
        except MlflowException as error:
            raise self._unreachable(str(error)) from error
        return RegisteredModelVersion(
            name=self._model_name,
            version=version,
            run_id=run_id,
            trees_digest=compiled.trees_digest,
        )

    def _log_files(
        self,
        client: mlflow.MlflowClient,
        run_id: str,
        forest: RandomForestClassifier,
        compiled: CompiledModel,
        files: Mapping[str, bytes],
    ) -> None:
        ours = {path: getattr(compiled, attribute) for path, attribute in FILES.items()}
        with tempfile.TemporaryDirectory(prefix="weir-register-") as scratch:
            _write_model(forest, Path(scratch) / "model")
            for path, content in {**files, **ours}.items():
                (Path(scratch) / path).parent.mkdir(exist_ok=True)
                (Path(scratch) / path).write_bytes(content)
            client.log_artifacts(run_id, scratch)
        self._check_files(client, run_id, compiled)

    def _check_files(
        self, client: mlflow.MlflowClient, run_id: str, compiled: CompiledModel
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="weir-check-") as scratch:
            for path, attribute in FILES.items():
                kept = Path(client.download_artifacts(run_id, path, scratch)).read_bytes()
                if kept != getattr(compiled, attribute):
                    raise self._unreachable(f"{path} reads back otherwise than it was written")

    def _create_version(
        self,
        client: mlflow.MlflowClient,
        run_id: str,
        compiled: CompiledModel,
        tags: Mapping[str, str],
    ) -> str:
        if not client.search_registered_models(f"name = '{self._model_name}'"):
            client.create_registered_model(self._model_name)
        version = client.create_model_version(
            self._model_name,
            source=f"runs:/{run_id}/model",
            run_id=run_id,
            tags={
                **tags,
                "definition_digest": DEFINITION_DIGEST,
                "trees_digest": compiled.trees_digest,
            },
        )
        return str(version.version)

    def _experiment(self, client: mlflow.MlflowClient) -> str:
        found = client.get_experiment_by_name(self._model_name)
        if found is not None:
            return str(found.experiment_id)
        return str(client.create_experiment(self._model_name))

    def _unreachable(self, why: str) -> ModelRegistryUnreachableError:
        return ModelRegistryUnreachableError(
            f"MLflow at {self._tracking_uri} did not take the model {self._model_name}: "
            f"{why:.300}; the champion is unchanged"
        )


def _log_values(
    client: mlflow.MlflowClient,
    run_id: str,
    *,
    params: Mapping[str, object],
    metrics: Mapping[str, float],
) -> None:
    for key, param in params.items():
        client.log_param(run_id, key, param)
    for key, value in metrics.items():
        client.log_metric(run_id, key, value)


def _take_away(client: mlflow.MlflowClient, run_id: str) -> None:
    try:
        client.set_terminated(run_id, status="FAILED")
        client.delete_run(run_id)
    except MlflowException as error:
        # What led here is raised; a run without a version is seen by nobody who loads models.
        logger.warning("run %s stays without a version: %s", run_id, str(error)[:200])


def _say_less() -> None:
    # Progress bars and addresses on standard output are for whoever calls us to print.
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"


def _write_model(forest: RandomForestClassifier, directory: Path) -> None:
    mlflow.sklearn.save_model(
        forest,
        str(directory),
        # Named, or MLflow imports half the environment to find out.
        pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
        # MLflow's file format without pickle takes only types that somebody vouches for.
        skops_trusted_types=["sklearn.tree._tree.Tree"],
    )
