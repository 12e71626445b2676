"""Registers a model in MLflow: a run, its files, and finally the version that refers to it.

Owns the order of these steps, so that a version exists only when it is complete, with all its
tags. Does not move the alias of the champion; see `training.registry.versions`. Called by the
training run; `scoring.stores.champion` reads what is written here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import mlflow
import mlflow.lightgbm
import mlflow.sklearn
import sklearn
from mlflow.entities import DatasetInput

from clients.errors import ModelRegistryUnreachableError
from features.definitions import DEFINITION_DIGEST
from models.artifact.files import ModelFiles
from models.artifact.lightgbm_trees import LightGbmTrees
from models.artifact.onnx_forest import TreeEstimator
from training.registry.mlflow_runs import FAILURES, experiment_id, open_client, whole_run


@dataclass(frozen=True, slots=True)
class RegisteredModelVersion:
    """A version that was registered. No alias points at it yet."""

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

    def register(
        self,
        estimator: TreeEstimator,
        compiled: ModelFiles,
        *,
        params: Mapping[str, object],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        files: Mapping[str, bytes],
        inputs: Sequence[DatasetInput] = (),
        description: str = "",
    ) -> RegisteredModelVersion:
        """Log a run with its model and files, and register that as a new version.

        Delivery: the version is created last, in one request with all its tags, after every file
        of ``weir/`` was read back. After a failure, the run and the version are deleted again.
        Blocks: some seconds; up to two minutes if MLflow stops answering meanwhile.

        Args:
            estimator: the fitted trees, for inspection; the scorer never loads it.
            compiled: the files that the scorer loads.
            params: of the run.
            metrics: of the run.
            tags: of the version, besides the digests of definitions and trees.
            files: further artifacts by path.
            inputs: the data sets that the run was fitted on, for the run's page.
            description: of the version, in Markdown, for its page.

        Raises:
            ModelRegistryUnreachableError: MLflow failed; the champion is unchanged.
        """
        client = open_client(self._tracking_uri)
        try:
            with whole_run(client, experiment_id(client, self._model_name), tags={}) as run_id:
                _log_values(client, run_id, params=params, metrics=metrics)
                if inputs:
                    client.log_inputs(run_id, list(inputs))
                self._log_files(client, run_id, estimator, compiled, files)
                client.set_terminated(run_id)
                version = self._create_version(
                    client, run_id, compiled, tags, description=description
                )
        except FAILURES as error:
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
        estimator: TreeEstimator,
        compiled: ModelFiles,
        files: Mapping[str, bytes],
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="weir-register-") as scratch:
            _write_model(estimator, Path(scratch) / "model")
            for path, content in {**files, **compiled.by_path()}.items():
                (Path(scratch) / path).parent.mkdir(exist_ok=True)
                (Path(scratch) / path).write_bytes(content)
            client.log_artifacts(run_id, scratch)
        self._check_files(client, run_id, compiled)

    def _check_files(self, client: mlflow.MlflowClient, run_id: str, compiled: ModelFiles) -> None:
        with tempfile.TemporaryDirectory(prefix="weir-check-") as scratch:
            for path, content in compiled.by_path().items():
                stored = Path(client.download_artifacts(run_id, path, scratch)).read_bytes()
                if stored != content:
                    raise self._unreachable(f"{path} reads back differently than it was written")

    def _create_version(
        self,
        client: mlflow.MlflowClient,
        run_id: str,
        compiled: ModelFiles,
        tags: Mapping[str, str],
        *,
        description: str,
    ) -> str:
        if not client.search_registered_models(f"name = '{self._model_name}'"):
            client.create_registered_model(self._model_name)
        version = client.create_model_version(
            self._model_name,
            source=f"runs:/{run_id}/model",
            run_id=run_id,
            description=description or None,
            tags={
                **tags,
                "definition_digest": DEFINITION_DIGEST,
                "trees_digest": compiled.trees_digest,
            },
        )
        return str(version.version)

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


def _write_model(estimator: TreeEstimator, directory: Path) -> None:
    # Without requirements, MLflow imports half of the environment to find out.
    if isinstance(estimator, LightGbmTrees):
        mlflow.lightgbm.save_model(
            estimator.booster,
            str(directory),
            pip_requirements=[f"lightgbm=={version('lightgbm')}"],
        )
        return
    mlflow.sklearn.save_model(
        estimator,
        str(directory),
        pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
        # MLflow's file format without pickle accepts only types that are declared as trusted.
        skops_trusted_types=[
            "sklearn.tree._tree.Tree",
            "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        ],
    )
