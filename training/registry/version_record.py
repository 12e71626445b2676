"""The record of a version: where it comes from, how good it is, why it was promoted or not.

Gives the tags and the description of the version, and the metrics and files of its run. Pure.
Called by the training run, which passes them to `training.registry.register`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pandas as pd

from training.datasets.dataset import Dataset
from training.datasets.lineage import code_version, table_digest
from training.fitting import plots
from training.fitting.candidate import Candidate
from training.fitting.evaluate import Comparison
from training.fitting.families import as_record, importances
from training.fitting.verdict import DECIDING_FIGURE, Verdict, shown
from training.registry.dataset_log import LoggedDataset


def lineage(table: pd.DataFrame, candidate: Candidate) -> dict[str, str]:
    """Give the tags that say where a version comes from.

    The digests of definitions and trees are not among them; registering adds those.

    Args:
        table: all rows, labelled.
        candidate: fitted on a part of them.
    """
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


def dataset_lineage(dataset: Dataset, logged: LoggedDataset) -> dict[str, str]:
    """Give the tags that name the data set of a version.

    ``dataset_version`` is enough to build the same rows again: how far the archive was read, the
    range, the time of the labels, the definitions and the code.
    """
    return {
        "dataset_version": json.dumps(dataset.version.as_fields(), separators=(",", ":")),
        "dataset_version_digest": dataset.version.digest,
        "dataset_run_id": logged.run_id,
    }


def figures(
    table: pd.DataFrame, candidate: Candidate, comparison: Comparison | None
) -> dict[str, float]:
    """Give the metrics of a version's run.

    Args:
        table: all rows, labelled.
        candidate: fitted on a part of them, evaluated on another.
        comparison: with the champion; None if there was no comparison.
    """
    found = {"rows": float(len(table)), "frauds": float(table["is_fraud"].sum())}
    if candidate.evaluation is not None:
        found |= candidate.evaluation.as_metrics()
    if (best := candidate.choice.best) is not None:
        found["validation_average_precision"] = best.average_precision
        found["validation_card_precision"] = best.card_precision
    if comparison is not None:
        difference = comparison.difference[DECIDING_FIGURE]
        found |= {
            f"difference_{DECIDING_FIGURE}": difference.value,
            f"difference_{DECIDING_FIGURE}_low": difference.low,
            f"difference_{DECIDING_FIGURE}_high": difference.high,
        }
    return found


def files(
    candidate: Candidate, verdict: Verdict, comparison: Comparison | None
) -> dict[str, bytes]:
    """Give the report and the plots of a version, by path."""
    evaluation = candidate.evaluation
    report: dict[str, Any] = {
        "promotes": verdict.promotes,
        "reason": verdict.reason,
        "evaluation": asdict(evaluation) if evaluation else None,
        "comparison": asdict(comparison) if comparison else None,
        "parameters": as_record(candidate.choice.parameters),
        "tried": candidate.choice.as_report(),
    }
    found = {
        "evaluation/report.json": json.dumps(report, indent=1).encode(),
        "evaluation/importance.png": plots.importance(
            candidate.spec.columns, importances(candidate.estimator)
        ),
    }
    if evaluation is not None:
        evaluated = (candidate.test, candidate.scores)
        found["evaluation/precision_recall.png"] = plots.precision_recall(*evaluated)
        found["evaluation/calibration.png"] = plots.calibration(*evaluated)
    return found


def description(dataset: Dataset, logged: LoggedDataset) -> str:
    """Give the description on a version's page: its data set, and how to build it again.

    Markdown, as MLflow shows it.
    """
    version = dataset.version
    first, end = (
        pd.Timestamp(time_ms, unit="ms").strftime("%Y-%m-%d %H:%M")
        for time_ms in (version.first_ms, version.end_ms)
    )
    positives = int(dataset.table["is_fraud"].sum())
    return (
        f"Fitted on the data set [{version.digest}]({logged.link}): {len(dataset.table):,} "
        f"rows, {positives:,} of them positive, from {first} up to {end} UTC.\n\n"
        "`weir train --dataset report.json` builds the same rows again, with the "
        "`dataset/report.json` of this version's run."
    )
