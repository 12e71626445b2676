"""Entry point of training: labelled rows in, a version out, champion if it is better.

    python -m operations.training_run

Reads, joins, fits, judges, compiles, registers, promotes, in that order; each step is a module of
its own. The scorer follows the alias within seconds.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Literal

import pandas as pd

from schemas.errors import WeirError
from schemas.settings import Settings
from schemas.transaction import Limits
from training.archive.read import archived_feature_rows, archived_labels
from training.datasets.build import Dataset
from training.datasets.read_log import read_feature_rows, read_labels
from training.datasets.rows import MATURITY_MS, join_labels
from training.datasets.split import split_by_time
from training.fitting.baseline import Baseline, NoBaseline, judge_candidate, load_baseline
from training.fitting.candidate import Candidate, fit_candidate
from training.fitting.evaluate import Comparison
from training.fitting.figures import Thresholds
from training.fitting.fit import ForestParameters
from training.fitting.verdict import Verdict
from training.registry import version_record
from training.registry.dataset_log import (
    LoggedDataset,
    dataset_files,
    dataset_input,
    experiment_name,
    logged_dataset,
)
from training.registry.mlflow_runs import FAILURES, check_reachable, open_client, sweep_unfinished
from training.registry.register import ModelRegistry, RegisteredModelVersion
from training.registry.versions import REGISTERED, TAG_REASON, TAG_STATUS, ModelVersions

logger = logging.getLogger(__name__)

Source = Literal["log", "archive"]

SEED = 20_261_124
"""The seed of a training that names none."""

ParityCheck = Callable[[], str | None]
"""Says in words what is not as a recomputation gives it, or None."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train, whatever the rows are.

    Attributes:
        parameters: of the forest; with a grid, what is taken if the rows cannot tell.
        grid: what parameters are chosen from, on the validation rows; empty chooses nothing.
        seed: of forest, golden rows and draws: equal rows and seeds give equal models.
        parity: asked before a promotion, which it refuses; None asks nothing.
    """

    parameters: ForestParameters = field(default_factory=ForestParameters)
    grid: tuple[ForestParameters, ...] = ()
    seed: int = SEED
    parity: ParityCheck | None = None


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """What came of a training.

    Attributes:
        version: registered, whether or not it was promoted.
        verdict: whether it is the champion now, and why.
        blocked: it was good enough, and parity was not 0.
        dataset: where the data set is that it was fitted on; None if it was fitted on the log.
    """

    version: RegisteredModelVersion
    verdict: Verdict
    blocked: bool
    dataset: LoggedDataset | None = None


def train_on_dataset(
    settings: Settings, make: Callable[[], Dataset], *, plan: Plan | None = None
) -> TrainingOutcome:
    """Make a data set, train on it, log it, register the result, and promote it if it is better.

    Delivery: the data set is logged when the model is ready for it, just before the version; if
    that cannot be registered the data set's run goes as well, unless it was there before.

    Args:
        settings: where archive and MLflow are, and what the model and its aliases are called.
        make: makes the data set; called once MLflow has answered.
        plan: how to train; None for the defaults.

    Raises:
        ModelRegistryUnreachableError: MLflow does not answer; asked before anything is made.
        TrainingDataError, NoArchiveError: what ``make`` raises.
        CompiledModelMismatchError: the compiled trees score otherwise; nothing is registered.
    """
    check_reachable(settings.mlflow_tracking_uri)
    dataset = make()
    about = {"maturity_ms": dataset.version.maturity_ms}
    return train_on(dataset.table, settings, plan=plan or Plan(), about=about, dataset=dataset)


def train_and_register(
    settings: Settings,
    *,
    plan: Plan | None = None,
    maturity_ms: int = MATURITY_MS,
    keep_immature: bool = False,
    source: Source = "log",
) -> TrainingOutcome:
    """Train on everything in the logs, register the result, and promote it if it is better.

    The quick path: no batch features, and no data set that could be made again by name.

    Args:
        settings: where Kafka and MLflow are, and what the model and its aliases are called.
        plan: how to train; None for the defaults.
        maturity_ms: age, ms, from which on a row without a label is legitimate.
        keep_immature: keep younger rows without a label, as legitimate.
        source: where rows and labels are read.

    Raises:
        NoFeatureRowsError: the feature log holds nothing to learn from.
        OneClassError: no fraud is known, or nothing else.
        LogUnreachableError: Kafka does not answer.
        NoArchiveError: nothing has been archived yet.
        ModelRegistryUnreachableError: MLflow does not answer.
        CompiledModelMismatchError: the compiled trees score otherwise; nothing is registered.
    """
    check_reachable(settings.mlflow_tracking_uri)
    rows, labels = read_training_data(settings, source)
    table = join_labels(rows, labels, maturity_ms=maturity_ms, keep_immature=keep_immature)
    about = {"maturity_ms": maturity_ms, "keep_immature": keep_immature}
    return train_on(table, settings, plan=plan or Plan(), about=about)


def train_on(
    table: pd.DataFrame,
    settings: Settings,
    *,
    plan: Plan,
    about: Mapping[str, object],
    dataset: Dataset | None = None,
) -> TrainingOutcome:
    """Train on a labelled table, register the result, and promote it if it is better.

    Args:
        table: as `training.datasets.rows.join_labels` gives it, or the data set's.
        settings: as for `train_and_register`.
        plan: how to train.
        about: what else to say of the rows, as parameters of the run.
        dataset: logged with the version, which names it; None if the table is none.

    Raises:
        ModelRegistryUnreachableError: MLflow does not answer.
        CompiledModelMismatchError: the compiled trees score otherwise; nothing is registered.
    """
    versions = ModelVersions.from_settings(settings)
    thresholds = Thresholds(review=settings.review_threshold, block=settings.block_threshold)
    baseline = read_baseline(versions, model_name=settings.model_name)
    candidate = fit_candidate(
        split_by_time(table),
        parameters=plan.parameters,
        thresholds=thresholds,
        seed=plan.seed,
        grid=plan.grid,
        jobs=os.cpu_count() or 1,
    )
    verdict, comparison = judge_candidate(
        candidate, baseline, thresholds=thresholds, seed=plan.seed
    )
    wrong = plan.parity() if plan.parity is not None and verdict.promotes else None
    if wrong is not None:
        verdict = Verdict(promotes=False, reason=f"parity is not 0: {wrong}; {verdict.reason}")
    with _logged(settings, dataset) as logged:
        version = _register(
            settings,
            table,
            candidate,
            verdict,
            comparison,
            seed=plan.seed,
            about=about,
            dataset=dataset,
            logged=logged,
        )
    if verdict.promotes:
        versions.promote(version.version, reason=verdict.reason)
    else:
        versions.name_challenger(version.version, reason=verdict.reason)
    return TrainingOutcome(version, verdict, blocked=wrong is not None, dataset=logged)


@contextmanager
def _logged(settings: Settings, dataset: Dataset | None) -> Iterator[LoggedDataset | None]:
    if dataset is None:
        yield None
        return
    with logged_dataset(settings, dataset) as logged:
        yield logged


def _register(
    settings: Settings,
    table: pd.DataFrame,
    candidate: Candidate,
    verdict: Verdict,
    comparison: Comparison | None,
    *,
    seed: int,
    about: Mapping[str, object],
    dataset: Dataset | None,
    logged: LoggedDataset | None,
) -> RegisteredModelVersion:
    lineage = version_record.lineage(table, candidate)
    files = version_record.files(candidate, verdict, comparison)
    inputs, description = [], ""
    if dataset is not None and logged is not None:
        lineage |= version_record.dataset_lineage(dataset, logged)
        files |= dataset_files(dataset)
        inputs = [dataset_input(settings, dataset)]
        description = version_record.description(dataset, logged)
    parameters = {**asdict(candidate.choice.parameters), "seed": seed}
    # Whole from its first moment, should the alias not move any more.
    status = {TAG_STATUS: REGISTERED, TAG_REASON: verdict.reason}
    registry = ModelRegistry(settings.mlflow_tracking_uri, model_name=settings.model_name)
    return registry.register(
        candidate.forest,
        candidate.files,
        params={**parameters, **about, **lineage},
        metrics=version_record.figures(table, candidate, comparison),
        tags={**lineage, **status, "parameters": json.dumps(parameters)},
        files=files,
        inputs=inputs,
        description=description,
    )


def clear_unfinished(settings: Settings, *, now_ms: int) -> list[str]:
    """Take away the runs of trainings that could not take them away themselves.

    Args:
        settings: where MLflow is.
        now_ms: the clock, ms since 1970 UTC; only what was begun an hour ago is taken away.

    Returns:
        The ids of the runs.

    Raises:
        ModelRegistryUnreachableError: MLflow does not answer.
    """
    client = open_client(settings.mlflow_tracking_uri)
    versions = ModelVersions.from_settings(settings).all()
    named = {version.run_id for version in versions}
    named |= {version.tags.get("dataset_run_id", "") for version in versions}
    names = (settings.model_name, experiment_name(settings))
    try:
        return sweep_unfinished(client, names, referenced=frozenset(named), now_ms=now_ms)
    except FAILURES as error:
        # It can wait for the next training; this one will say itself what is wrong with MLflow.
        logger.warning("what earlier trainings left was not looked for: %.200s", error)
        return []


def read_training_data(settings: Settings, source: Source) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read feature rows and labels, the same tables from either place.

    Args:
        settings: where Kafka and the archive are.
        source: ``log`` is up to the minute; ``archive`` needs no Kafka.
    """
    if source == "archive":
        url = settings.archive_url
        return archived_feature_rows(url), archived_labels(url)
    labels = read_labels(settings.kafka_bootstrap, limits=Limits.from_settings(settings))
    return read_feature_rows(settings.kafka_bootstrap), labels


def read_baseline(versions: ModelVersions, *, model_name: str) -> Baseline | NoBaseline:
    """Read the champion from the registry, or say why there is none to compare with.

    Raises:
        ModelRegistryUnreachableError: MLflow does not answer.
    """
    champion = versions.champion()
    if champion is None:
        return NoBaseline("there is no champion yet")
    return load_baseline(
        lambda path: versions.artifact(champion, path),
        name=model_name,
        version=champion.version,
        tags=champion.tags,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; print the version, or what is wrong.

    Returns:
        The exit code: 0 for a new version, 1 for a failure that says what to do.
    """
    parser = argparse.ArgumentParser(prog="python -m operations.training_run", description=__doc__)
    parser.add_argument("--bootstrap", help="Kafka's bootstrap servers; default by settings")
    parser.add_argument("--tracking-uri", help="MLflow's address; default by settings")
    parser.add_argument("--maturity-ms", type=int, default=MATURITY_MS)
    parser.add_argument("--keep-immature", action="store_true")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--source", choices=("log", "archive"), default="log")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    given = {
        "kafka_bootstrap": options.bootstrap,
        "mlflow_tracking_uri": options.tracking_uri,
    }
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    try:
        outcome = train_and_register(
            settings,
            maturity_ms=options.maturity_ms,
            keep_immature=options.keep_immature,
            plan=Plan(seed=options.seed),
            source=options.source,
        )
    except WeirError as error:
        logger.error("%s: %s", type(error).__name__, error)  # noqa: TRY400 - its text is enough
        return 1
    place = "the champion" if outcome.verdict.promotes else "a challenger"
    version = outcome.version
    logger.info(
        "%s version %s is %s: %s", version.name, version.version, place, outcome.verdict.reason
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
