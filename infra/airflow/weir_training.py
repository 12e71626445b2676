"""Airflow DAGs that train once a day: a version, champion if it is better and parity is 0.

Trains on a data set of the most recent 90 days whose labels are mature; the version names it. The
parity gate is part of the training run: `train` recomputes every feature before it promotes, and
fails with exit code 1 if parity kept a good version from being promoted.

Copy or link it into Airflow's folder of DAGs. It only calls the command `weir`, so Airflow's
environment and ours stay apart. Tasks are retried a limited number of times; a training that
failed half-way has left no version, so a retry is safe.

`weir_training` trains the model of transactions. WEIR_DAG_MODELS in Airflow's environment, where
the DAGs are parsed, names further models of the deployment, separated by commas; each has a DAG of
the same name with the model's after it.

Set in the worker's environment: WEIR_BIN, the command (default ``weir`` on the path), and the same
WEIR_* settings as everywhere.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

WEIR = '"${WEIR_BIN:-weir}"'


def training(model: str = "") -> None:
    """Make the DAG of a model; without a name, that of transactions."""
    option = f" --model={model}" if model else ""
    with DAG(
        dag_id="weir_training" + (f"_{model}" if model else ""),
        description="Weir: train, promote what is better while parity is 0",
        schedule=timedelta(days=1),
        start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),  # noqa: UP017 - as Airflow's own docs
        catchup=False,
        # Two trainings at once would compare with the same champion, and both could move the alias.
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
    ):
        train = BashOperator(
            task_id="train",
            bash_command=f"{WEIR} train --days=90{option}",
            doc="Make a data set, fit, compare with the champion, recompute every feature, "
            "register; promote only if it is better and parity is 0.",
        )
        models = BashOperator(
            task_id="models",
            bash_command=f"{WEIR} models list{option}",
            doc="Show in the log which version decides now, and why.",
        )
        train >> models


training()
for name in filter(None, os.environ.get("WEIR_DAG_MODELS", "").split(",")):
    training(name)
