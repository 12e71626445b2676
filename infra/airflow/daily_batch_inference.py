"""Airflow DAGs that score every active user once a day, at 02:00 UTC, as of the last midnight.

Copy or link it into Airflow's folder of DAGs. It only calls the command `weir`, so Airflow's
environment and ours stay apart. A run publishes all its predictions at once or none, and replaces
those of an earlier run for the date, so a retry is safe. Without Airflow, ``weir batch score
--every 1d`` does the same.

`daily_batch_inference` scores with the model of transactions. WEIR_DAG_MODELS in Airflow's
environment, where the DAGs are parsed, names further models of the deployment, separated by commas;
each has a DAG of the same name with the model's after it.

Set in the worker's environment: WEIR_BIN, the command (default ``weir`` on the path), and the same
WEIR_* settings as everywhere, WEIR_PREDICTIONS_URL among them.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

WEIR = '"${WEIR_BIN:-weir}"'
# The day of the schedule, also if the run is late or repeated; a run by hand has no interval.
DAY = "{{ (data_interval_end or dag_run.run_after) | ds }}"


def scoring(model: str = "") -> None:
    """Make the DAG of a model; without a name, that of transactions."""
    option = f" --model={model}" if model else ""
    with DAG(
        dag_id="daily_batch_inference" + (f"_{model}" if model else ""),
        description="Weir: score every active user into the table of predictions",
        schedule="0 2 * * *",
        start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),  # noqa: UP017 - as Airflow's own docs
        catchup=False,
        # Two runs of one date would replace each other's predictions.
        max_active_runs=1,
        tags=["weir"],
        default_args={
            "owner": "weir",
            "retries": 2,
            "retry_delay": timedelta(minutes=5),
            "execution_timeout": timedelta(hours=4),
        },
    ):
        BashOperator(
            task_id="score",
            bash_command=f"{WEIR} batch score --as-of {DAY}{option}",
            doc="Score every active user with the champion; the report is in MLflow.",
        )


scoring()
for name in filter(None, os.environ.get("WEIR_DAG_MODELS", "").split(",")):
    scoring(name)
