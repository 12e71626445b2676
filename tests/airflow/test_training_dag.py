"""The DAG for Airflow, parsed by Airflow itself, in an environment of its own: `make dags`.

Kept apart from the other tests: neither Airflow's packages nor the fixtures of ours are there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow", reason="Airflow has an environment of its own: make dags")

DAGS = Path(__file__).parents[2] / "infra" / "airflow"
TASKS = ["train", "models"]


@pytest.fixture(scope="module")
def dag() -> Any:
    dags = parsed()
    assert sorted(dags) == ["daily_batch_inference", "weir_training"]
    return dags["weir_training"]


def parsed() -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(DAGS))
    assert bag.import_errors == {}
    return bag.dags


def test_it_runs_daily_and_never_twice_at_once(dag: Any) -> None:
    assert dag.schedule == timedelta(days=1)
    assert dag.catchup is False
    assert dag.max_active_runs == 1


def test_it_shows_the_versions_after_the_training(dag: Any) -> None:
    assert [task.task_id for task in dag.topological_sort()] == TASKS
    assert dag.get_task("models").upstream_task_ids == {"train"}


def test_it_trains_on_a_data_set_whose_days_move_on_and_names_no_way_around_parity(
    dag: Any,
) -> None:
    assert dag.get_task("train").bash_command.endswith(" train --days=90")


def test_each_further_model_has_dags_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_DAG_MODELS", "churn,returns")
    dags = parsed()
    assert sorted(dags) == [
        *(f"daily_batch_inference{model}" for model in ("", "_churn", "_returns")),
        *(f"weir_training{model}" for model in ("", "_churn", "_returns")),
    ]
    train, models = dags["weir_training_churn"].topological_sort()
    assert train.bash_command.endswith(" train --days=90 --model=churn")
    assert models.bash_command.endswith(" models list --model=churn")
    (score,) = dags["daily_batch_inference_returns"].tasks
    assert score.bash_command.endswith(" --model=returns")
    assert "--model" not in dags["weir_training"].get_task("train").bash_command


def test_every_task_is_tried_again_a_bounded_number_of_times(dag: Any) -> None:
    for task in dag.tasks:
        assert task.retries == 3
        assert task.retry_delay == timedelta(minutes=5)
        assert task.retry_exponential_backoff
        assert task.max_retry_delay == timedelta(hours=1)
        assert task.execution_timeout == timedelta(hours=4)


@pytest.mark.parametrize("task_id", TASKS)
def test_a_task_calls_the_command_that_the_environment_names_and_fails_with_it(
    dag: Any, task_id: str, tmp_path: Path
) -> None:
    command = dag.get_task(task_id).bash_command
    weir = tmp_path / "we ir"
    weir.write_text('#!/bin/sh\necho "called with $*"\nexit 3\n')
    weir.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "WEIR_BIN": str(weir)},
    )
    assert done.returncode == 3
    assert done.stdout.startswith(f"called with {task_id}")


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
