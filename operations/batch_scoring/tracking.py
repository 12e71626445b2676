"""Logs the reports of batch scorings to MLflow, and finds that of the run before.

Called by `run`. The runs are in an experiment of their own, one run for each batch scoring.
"""

import json
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Metric

from clients.errors import ModelRegistryUnreachableError
from clients.mlflow_rest import MlflowRest
from operations.batch_scoring.report import ScoringReport
from training.registry.mlflow_runs import FAILURES, experiment_id, open_client, whole_run

REPORT_FILE = "report.json"
_TAG_MODEL = "weir_model"
_TAG_RUN = "weir_batch_run"


def experiment_name(model_name: str) -> str:
    """Give the name of the experiment with the batch scorings of a model."""
    return f"{model_name}-batch"


def report_before(tracking_uri: str, model_name: str) -> Mapping[str, Any] | None:
    """Read the report of the newest batch scoring of a model; None if there is none.

    Raises:
        ModelRegistryUnreachableError: MLflow does not answer.
    """
    client = open_client(tracking_uri)
    try:
        experiment = client.get_experiment_by_name(experiment_name(model_name))
        if experiment is None:
            return None
        runs = client.search_runs(
            [experiment.experiment_id],
            filter_string="attributes.status = 'FINISHED'",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
    except FAILURES as error:
        raise ModelRegistryUnreachableError(f"MLflow at {tracking_uri}: {error}") from error
    if not runs:
        return None
    content = MlflowRest(tracking_uri).artifact(run_id=runs[0].info.run_id, path=REPORT_FILE)
    found: Mapping[str, Any] | None = None if content is None else json.loads(content)
    return found


def log_report(tracking_uri: str, report: ScoringReport, *, now_ms: int) -> str:
    """Log a report as a run; gives the run's id.

    Args:
        tracking_uri: of MLflow.
        report: of the batch scoring.
        now_ms: the clock, ms since 1970 UTC.

    Raises:
        ModelRegistryUnreachableError: MLflow does not answer.
    """
    client = open_client(tracking_uri)
    try:
        experiment = experiment_id(client, experiment_name(report.model_name))
        tags = {
            _TAG_MODEL: f"{report.model_name}/{report.model_version}",
            _TAG_RUN: report.run_id,
            "data_version": report.data_version,
            "prediction_dates": ",".join(report.prediction_dates[:10]),
        }
        with whole_run(client, experiment, tags=tags) as run_id:
            metrics = [Metric(name, value, now_ms, 0) for name, value in _metrics(report).items()]
            client.log_batch(run_id, metrics=metrics)
            client.log_text(run_id, report.to_json(), REPORT_FILE)
            client.set_terminated(run_id, status="FINISHED")
    except FAILURES as error:
        raise ModelRegistryUnreachableError(f"MLflow at {tracking_uri}: {error}") from error
    return run_id


def _metrics(report: ScoringReport) -> dict[str, float]:
    drift = report.drift
    compared = (
        {}
        if drift is None
        else {
            "score_mean_change": drift.mean_change,
            "score_stability_index": drift.stability_index,
        }
    )
    return {
        "rows": report.rows,
        "left_out": report.left_out,
        "rows_per_s": report.rows_per_s,
        "score_mean": report.score_mean,
        "nulls": sum(report.nulls.values()),
        **{f"decided_{outcome}": count for outcome, count in report.outcomes.items()},
        **{f"seconds_{step}": seconds for step, seconds in report.seconds.items()},
        **{f"task_seconds_{step}": seconds for step, seconds in report.task_seconds.items()},
        **compared,
    }
