"""Registers a candidate: its data set, its run with parameters, figures and files, its version.

The version is complete when it appears, and no alias points at it yet. Called by `run`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd

from schemas.settings import Settings
from training.datasets.dataset import Dataset
from training.fitting.candidate import Candidate
from training.fitting.evaluate import Comparison
from training.fitting.families import as_record
from training.fitting.verdict import Verdict
from training.registry import version_record
from training.registry.dataset_log import (
    LoggedDataset,
    dataset_files,
    dataset_input,
    logged_dataset,
)
from training.registry.register import ModelRegistry, RegisteredModelVersion
from training.registry.versions import REGISTERED, TAG_REASON, TAG_STATUS


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate and what is known of it.

    Attributes:
        table: the rows it was fitted and judged on, labelled.
        candidate: the fitted trees and their compiled form.
        verdict: whether it becomes the champion, and why.
        comparison: with the champion; None if there was none.
        seed: of the training.
        about: further parameters of the run, about the rows.
    """

    table: pd.DataFrame
    candidate: Candidate
    verdict: Verdict
    comparison: Comparison | None
    seed: int
    about: Mapping[str, object]


def register(
    settings: Settings, judged: Judged, dataset: Dataset | None
) -> tuple[RegisteredModelVersion, LoggedDataset | None]:
    """Log the data set, then register the candidate as a version that names it.

    Args:
        settings: where MLflow is, and what the model is called.
        judged: the candidate.
        dataset: that it was fitted on; None if it was fitted on log or archive.

    Raises:
        ModelRegistryUnreachableError: MLflow does not answer; neither run nor version is left.
    """
    with _logged(settings, dataset) as logged:
        return _register_version(settings, judged, dataset, logged), logged


@contextmanager
def _logged(settings: Settings, dataset: Dataset | None) -> Iterator[LoggedDataset | None]:
    if dataset is None:
        yield None
        return
    with logged_dataset(settings, dataset) as logged:
        yield logged


def _register_version(
    settings: Settings, judged: Judged, dataset: Dataset | None, logged: LoggedDataset | None
) -> RegisteredModelVersion:
    candidate, verdict, comparison = judged.candidate, judged.verdict, judged.comparison
    lineage = version_record.lineage(judged.table, candidate)
    files = version_record.files(candidate, verdict, comparison)
    inputs, description = [], ""
    if dataset is not None and logged is not None:
        lineage |= version_record.dataset_lineage(dataset, logged)
        files |= dataset_files(dataset)
        inputs = [dataset_input(settings, dataset)]
        description = version_record.description(dataset, logged)
    parameters = {**as_record(candidate.choice.parameters), "seed": judged.seed}
    # These tags come with the version, in case MLflow fails before an alias points at it.
    status = {TAG_STATUS: REGISTERED, TAG_REASON: verdict.reason}
    registry = ModelRegistry(settings.mlflow_tracking_uri, model_name=settings.model_name)
    return registry.register(
        candidate.estimator,
        candidate.files,
        params={**parameters, **judged.about, **lineage},
        metrics=version_record.figures(judged.table, candidate, comparison),
        tags={**lineage, **status, "parameters": json.dumps(parameters)},
        files=files,
        inputs=inputs,
        description=description,
    )
