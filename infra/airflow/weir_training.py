"""An Airflow DAG that trains once a day: first parity, then a version, champion if it is better.

Trained is on a data set of the newest 90 days that are old enough, which the version names.

Copy or link it into Airflow's folder of DAGs. It only calls the command `weir`, so Airflow's
environment and ours never meet. Tasks are tried again a bounded number of times; a training that
failed half-way has left no version, so trying again is safe.

The worker's environment says where things are: WEIR_BIN, the command (default ``weir`` on the
path), and the same WEIR_* settings as everywhere.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

WEIR = '"${WEIR_BIN:-weir}"'

with DAG(
    dag_id="weir_training",
    description="Weir: check parity, train, promote what is better",
    schedule=timedelta(days=1),
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),  # noqa: UP017 - as Airflow's own docs
    catchup=False,
    # Two trainings at once would compare with the same champion and both move the alias.
    max_active_runs=1,
    tags=["weir"],
    default_args={
        "owner": "weir",
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(hours=1),
        "execution_timeout": timedelta(hours=4),
    },
) as dag:
    parity = BashOperator(
        task_id="parity",
        bash_command=f"{WEIR} parity --json",
        doc="Recompute every feature and compare; a difference fails the run before it trains.",
    )
    train = BashOperator(
        task_id="train",
        # Parity was checked by the task before.
        bash_command=f"{WEIR} train --skip-parity --days=90",
        doc="Make a data set, fit, judge against the champion, register; promote only if better.",
    )
    models = BashOperator(
        task_id="models",
        bash_command=f"{WEIR} models list",
        doc="Say in the log who decides now, and why.",
    )
    parity >> train >> models
