"""Trains: labelled rows in, a registered version out, champion if it is better and parity is 0.

Reads, joins, fits, judges, asks the parity gate, registers, promotes, in that order. The only
way to train: `weir train`, its schedule, the demo, the bench and the DAG for Airflow call it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import pandas as pd

from models.catalogue import settings_of
from models.definition import ModelDefinition
from models.encoding.vector import COLUMNS
from operations.promotion import ClosedGate, ask_gate, promote_version
from operations.training_run.leftovers import clear_unfinished
from operations.training_run.registration import Judged, register
from operations.training_run.request import Plan, Rows, Source
from operations.training_run.rows import make_dataset, make_user_dataset, read_labelled_rows
from schemas.settings import Settings
from training.datasets.dataset import Dataset
from training.datasets.split import Split, SplitKind, split_by_time, split_with_gap
from training.fitting.baseline import Baseline, NoBaseline, judge_candidate, load_baseline
from training.fitting.candidate import fit_candidate
from training.fitting.figures import Thresholds
from training.fitting.verdict import Verdict, not_by_time, only_as_challenger
from training.registry.dataset_log import LoggedDataset
from training.registry.gate import PassedGate
from training.registry.mlflow_runs import check_reachable
from training.registry.register import RegisteredModelVersion
from training.registry.versions import ModelVersions


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """The result of a training.

    Attributes:
        version: registered, whether or not it was promoted.
        verdict: whether it is the champion now, and why.
        blocked: it was good enough, and only the parity gate kept it from being promoted.
        dataset: where the data set is that it was fitted on; None if it was fitted on log or
            archive.
    """

    version: RegisteredModelVersion
    verdict: Verdict
    blocked: bool
    dataset: LoggedDataset | None = None


def train(
    settings: Settings,
    rows: Rows,
    *,
    now_ms: int,
    plan: Plan | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> TrainingOutcome:
    """Train on the rows that were asked for, register the result, and promote it if it is better.

    Delivery: a data set is logged when the model is ready for it, just before the version; if
    that cannot be registered the data set's run is deleted as well, unless it existed before.

    Args:
        settings: where Kafka, archive, Redis and MLflow are, and the names of model and aliases.
        rows: which rows.
        now_ms: the clock, ms since 1970 UTC; rows are mature as of it, unless `rows` name an
            earlier time.
        plan: how to train; None for the defaults.
        say: takes a sentence about what happens besides.

    Raises:
        ModelRegistryUnreachableError: MLflow does not answer; asked before anything is read.
        TrainingDataError, NoArchiveError, KafkaUnreachableError: as `rows` raises them.
        CompiledModelMismatchError: the compiled trees score differently; nothing is registered.
        OtherDefinitionsError: the log follows other feature definitions; nothing is registered.
    """
    # MLflow's own progress would be mixed with ours.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    check_reachable(settings.mlflow_tracking_uri)
    for run_id in clear_unfinished(settings, now_ms=now_ms):
        say(f"deleted run {run_id} of a training that was not finished")
    plan = plan or Plan()
    if rows.source is Source.DATASET:
        dataset = make_dataset(settings, rows, now_ms=now_ms)
        about: dict[str, object] = {"maturity_ms": dataset.version.maturity_ms}
        return train_on(dataset.table, settings, plan=plan, about=about, dataset=dataset)
    table = read_labelled_rows(settings, rows, now_ms=now_ms)
    about = {"maturity_ms": rows.maturity_ms, "keep_immature": rows.keep_immature}
    return train_on(table, settings, plan=plan, about=about)


def train_model_of_users(
    settings: Settings,
    definition: ModelDefinition,
    rows: Rows,
    *,
    now_ms: int,
    plan: Plan | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> TrainingOutcome:
    """Train a model of users on its data set, register it, and promote it if it is better.

    Args:
        settings: of the deployment.
        definition: of the model; it has a label.
        rows: of midnights; the source is a data set.
        now_ms: the clock, ms since 1970 UTC.
        plan: how to train; None for the defaults.
        say: takes a sentence about what happens besides.

    Raises:
        ModelDefinitionError: the model has no label, or its SQL is wrong.
        WeirError: as `train`.
    """
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    check_reachable(settings.mlflow_tracking_uri)
    named = settings_of(settings, definition)
    for run_id in clear_unfinished(named, now_ms=now_ms):
        say(f"deleted run {run_id} of a training that was not finished")
    dataset = make_user_dataset(settings, definition, rows, now_ms=now_ms)
    horizon_ms = dataset.version.maturity_ms
    return train_on(
        dataset.table,
        named,
        plan=plan or Plan(),
        about={"maturity_ms": horizon_ms, "model_digest": definition.data_digest},
        dataset=dataset,
        split=split_with_gap(dataset.table, horizon_ms=horizon_ms, columns=definition.columns),
        deployment=settings,
    )


def train_on(
    table: pd.DataFrame,
    settings: Settings,
    *,
    plan: Plan,
    about: Mapping[str, object],
    dataset: Dataset | None = None,
    split: Split | None = None,
    deployment: Settings | None = None,
) -> TrainingOutcome:
    """Train on a labelled table, register the result, and promote it if it is better.

    The gate is asked before the version is registered, so that the version carries its answer
    from its first moment.

    Args:
        table: as `training.datasets.labelled_rows.join_labels` gives it, or the data set's.
        settings: as for `train`.
        plan: how to train.
        about: further parameters of the run, about the rows.
        dataset: that the table is of; logged with the version, which names it. If it has a split,
            that one is used; a version of a stratified one is never promoted here.
        split: of the table; None: that of the data set, or by time.
        deployment: whose parity is the gate; None: that of `settings`.

    Raises:
        ModelRegistryUnreachableError: MLflow does not answer.
        CompiledModelMismatchError: the compiled trees score differently; nothing is registered.
        OtherDefinitionsError: the log follows other feature definitions; nothing is registered.
    """
    versions = ModelVersions.from_settings(settings)
    thresholds = Thresholds(review=settings.review_threshold, block=settings.block_threshold)
    if split is None and dataset is not None:
        split = dataset.split
    columns = COLUMNS if split is None or split.columns is None else split.columns
    baseline = _read_baseline(versions, model_name=settings.model_name, columns=columns)
    candidate = fit_candidate(
        split or split_by_time(table),
        parameters=plan.parameters,
        thresholds=thresholds,
        seed=plan.seed,
        grid=plan.grid,
        jobs=os.cpu_count() or 1,
    )
    verdict, comparison = judge_candidate(
        candidate, baseline, thresholds=thresholds, seed=plan.seed
    )
    if dataset is not None and dataset.version.split == SplitKind.STRATIFIED:
        verdict = not_by_time(verdict)
    if plan.is_challenger:
        verdict = only_as_challenger(verdict)
    gate = ask_gate(deployment or settings) if verdict.promotes else None
    if isinstance(gate, ClosedGate):
        if plan.is_tried_again and gate.cause is not None:
            raise gate.cause
        verdict = Verdict(promotes=False, reason=f"{gate.reason}; {verdict.reason}")
    judged = Judged(table, candidate, verdict, comparison, seed=plan.seed, about=about)
    version, logged = register(settings, judged, dataset)
    if isinstance(gate, PassedGate):
        promote_version(settings, version.version, gate=gate, reason=verdict.reason)
    else:
        versions.name_challenger(version.version, reason=verdict.reason)
    return TrainingOutcome(version, verdict, blocked=isinstance(gate, ClosedGate), dataset=logged)


def _read_baseline(
    versions: ModelVersions, *, model_name: str, columns: Collection[str]
) -> Baseline | NoBaseline:
    champion = versions.champion()
    if champion is None:
        return NoBaseline("there is no champion yet")
    return load_baseline(
        lambda path: versions.artifact(champion, path),
        name=model_name,
        version=champion.version,
        tags=champion.tags,
        columns=columns,
    )
