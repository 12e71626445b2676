"""Entry point of training: feature log and labels in, a version out, champion if it is better.

    python -m training.train

Reads, joins, fits, judges, compiles, registers, promotes, in that order; each step is a module of
its own. The scorer follows the alias within seconds.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import pandas as pd

from schemas.errors import WeirError
from schemas.settings import Settings
from schemas.transaction import Limits
from training import plots
from training.archive.read import archived_feature_rows, archived_labels
from training.candidate import Candidate, Opponent, contest, fit_candidate, opponent
from training.dataset import MATURITY_MS, join_labels, split_by_time
from training.evaluate import Comparison, Thresholds
from training.fit import ForestParameters
from training.lineage import code_version, table_digest
from training.promotion import DECIDING_FIGURE, Verdict, shown
from training.read_log import read_feature_rows, read_labels
from training.register import ModelRegistry, RegisteredModelVersion
from training.versions import ModelVersions

logger = logging.getLogger(__name__)

Source = Literal["log", "archive"]

SEED = 20_261_124
"""The seed of a training that names none."""

ParityCheck = Callable[[], str | None]
"""Says in words what is not as a recomputation gives it, or None."""


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """What came of a training.

    Attributes:
        version: registered, whether or not it was promoted.
        verdict: whether it is the champion now, and why.
        blocked: it was good enough, and parity was not 0.
    """

    version: RegisteredModelVersion
    verdict: Verdict
    blocked: bool


def train_and_register(
    settings: Settings,
    *,
    parameters: ForestParameters | None = None,
    maturity_ms: int = MATURITY_MS,
    keep_immature: bool = False,
    seed: int = SEED,
    parity: ParityCheck | None = None,
    source: Source = "log",
) -> TrainingOutcome:
    """Train on everything in the logs, register the result, and promote it if it is better.

    Args:
        settings: where Kafka and MLflow are, and what the model and its aliases are called.
        parameters: of the forest.
        maturity_ms: age, ms, from which on a row without a label is legitimate.
        keep_immature: keep younger rows without a label, as legitimate.
        seed: equal logs and seeds give equal models.
        parity: asked before a promotion, which it refuses; None asks nothing.
        source: where rows and labels are read.

    Raises:
        NoFeatureRowsError: the feature log holds nothing to learn from.
        OneClassError: no fraud is known, or nothing else.
        LogUnreachableError: Kafka does not answer.
        NoArchiveError: nothing has been archived yet.
        ModelRegistryUnreachableError: MLflow does not answer.
        CompiledModelMismatchError: the compiled trees score otherwise; nothing is registered.
    """
    ModelRegistry(settings.mlflow_tracking_uri, model_name=settings.model_name).check_reachable()
    rows, labels = read_training_data(settings, source)
    table = join_labels(rows, labels, maturity_ms=maturity_ms, keep_immature=keep_immature)
    return train_on(
        table,
        settings,
        parameters=parameters or ForestParameters(),
        seed=seed,
        about={"maturity_ms": maturity_ms, "keep_immature": keep_immature},
        parity=parity,
    )


def train_on(
    table: pd.DataFrame,
    settings: Settings,
    *,
    parameters: ForestParameters,
    seed: int,
    about: Mapping[str, object],
    parity: ParityCheck | None = None,
) -> TrainingOutcome:
    """Train on a labelled table, register the result, and promote it if it is better.

    Args:
        table: as `training.dataset.join_labels` gives it.
        settings: as for `train_and_register`.
        parameters: of the forest.
        seed: of forest, golden rows and draws.
        about: what else to say of the data set, as parameters of the run.
        parity: as for `train_and_register`.

    Raises:
        ModelRegistryUnreachableError: MLflow does not answer.
        CompiledModelMismatchError: the compiled trees score otherwise; nothing is registered.
    """
    versions = ModelVersions.from_settings(settings)
    thresholds = Thresholds(review=settings.review_threshold, block=settings.block_threshold)
    champion = read_opponent(versions)
    candidate = fit_candidate(
        split_by_time(table), parameters=parameters, thresholds=thresholds, seed=seed, jobs=_jobs()
    )
    verdict, comparison = contest(candidate, champion, thresholds=thresholds, seed=seed)
    wrong = parity() if parity is not None and verdict.promotes else None
    if wrong is not None:
        verdict = Verdict(promotes=False, reason=f"parity is not 0: {wrong}; {verdict.reason}")
    lineage = _lineage(table, candidate)
    registry = ModelRegistry(settings.mlflow_tracking_uri, model_name=settings.model_name)
    version = registry.register(
        candidate.forest,
        candidate.compiled,
        params={**asdict(parameters), "seed": seed, **about, **lineage},
        metrics=_metrics(table, candidate, comparison),
        tags={**lineage, "parameters": json.dumps({**asdict(parameters), "seed": seed})},
        files=_files(candidate, verdict, comparison),
    )
    if verdict.promotes:
        versions.promote(version.version, reason=verdict.reason)
    else:
        versions.name_challenger(version.version, reason=verdict.reason)
    return TrainingOutcome(version, verdict, blocked=wrong is not None)


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


def read_opponent(versions: ModelVersions) -> Opponent | str:
    """Read the champion from the registry, or say why there is none to compare with.

    Raises:
        ModelRegistryUnreachableError: MLflow does not answer.
    """
    champion = versions.champion()
    if champion is None:
        return "there is no champion yet"
    return opponent(
        champion.version,
        trees=versions.artifact(champion, "weir/trees.tl"),
        signature=versions.artifact(champion, "weir/signature.json"),
        tags=dict(champion.tags),
    )


def _lineage(table: pd.DataFrame, candidate: Candidate) -> dict[str, str]:
    """Say where a version comes from; the digests of definitions and trees are added to it."""
    evaluation = candidate.evaluation
    figure = shown(evaluation.figures[DECIDING_FIGURE]) if evaluation else "not judged"
    return {
        "code_version": code_version(),
        "dataset_digest": table_digest(table),
        "dataset_rows": str(len(table)),
        "dataset_frauds": str(int(table["is_fraud"].sum())),
        "dataset_from_ms": str(int(table["event_time_ms"].min())),
        "dataset_until_ms": str(int(table["event_time_ms"].max())),
        "fitted_rows": str(len(candidate.fitted)),
        "fitted_until_ms": str(candidate.fitted_until_ms),
        "vector_digest": candidate.spec.digest,
        DECIDING_FIGURE: figure,
    }


def _metrics(
    table: pd.DataFrame, candidate: Candidate, comparison: Comparison | None
) -> dict[str, float]:
    metrics = {"rows": float(len(table)), "frauds": float(table["is_fraud"].sum())}
    if candidate.evaluation is not None:
        metrics |= candidate.evaluation.as_metrics()
    if comparison is not None:
        difference = comparison.difference[DECIDING_FIGURE]
        metrics |= {
            f"difference_{DECIDING_FIGURE}": difference.value,
            f"difference_{DECIDING_FIGURE}_low": difference.low,
            f"difference_{DECIDING_FIGURE}_high": difference.high,
        }
    return metrics


def _files(
    candidate: Candidate, verdict: Verdict, comparison: Comparison | None
) -> dict[str, bytes]:
    evaluation = candidate.evaluation
    report = {
        "promotes": verdict.promotes,
        "reason": verdict.reason,
        "evaluation": asdict(evaluation) if evaluation else None,
        "comparison": asdict(comparison) if comparison else None,
    }
    importances = candidate.forest.feature_importances_
    files = {
        "evaluation/report.json": json.dumps(report, indent=1).encode(),
        "evaluation/importance.png": plots.importance(candidate.spec.columns, importances),
    }
    if evaluation is not None:
        judged = (candidate.test, candidate.scores)
        files["evaluation/precision_recall.png"] = plots.precision_recall(*judged)
        files["evaluation/calibration.png"] = plots.calibration(*judged)
    return files


def _jobs() -> int:
    return os.cpu_count() or 1


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; print the version, or what is wrong.

    Returns:
        The exit code: 0 for a new version, 1 for a failure that says what to do.
    """
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("--bootstrap", help="Kafka's bootstrap servers; default by settings")
    parser.add_argument("--tracking-uri", help="MLflow's address; default by settings")
    parser.add_argument("--maturity-ms", type=int, default=MATURITY_MS)
    parser.add_argument("--keep-immature", action="store_true")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--from", dest="source", choices=("log", "archive"), default="log")
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
            seed=options.seed,
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
