"""The DAG of the nightly batch scoring, parsed and run once by Airflow itself: `make dags`.

Kept apart from the other tests: neither Airflow's packages nor the fixtures of ours are there.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow", reason="Airflow has an environment of its own: make dags")

DAGS = Path(__file__).parents[2] / "infra" / "airflow"
RUN_AT = datetime(2026, 6, 3, 2, tzinfo=timezone.utc)  # noqa: UP017 - as Airflow's own docs


@pytest.fixture(scope="module")
def dag() -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(DAGS))
    assert bag.import_errors == {}
    return bag.dags["daily_batch_inference"]


def test_it_runs_at_two_and_makes_up_for_no_missed_night(dag: Any) -> None:
    assert dag.schedule == "0 2 * * *"
    assert dag.catchup is False
    assert dag.max_active_runs == 1


def test_it_is_tried_again_twice_five_minutes_apart(dag: Any) -> None:
    (task,) = dag.tasks
    assert (task.retries, task.retry_delay) == (2, timedelta(minutes=5))
    assert not task.retry_exponential_backoff
    assert task.execution_timeout is not None


def test_a_run_scores_as_of_its_own_day(
    dag: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow runs it, with a command that writes down how it was called."""
    from airflow.utils.db import initdb

    initdb()
    called = tmp_path / "called"
    weir = tmp_path / "we ir"
    weir.write_text(f'#!/bin/sh\necho "$*" >> {called}\n')
    weir.chmod(0o755)
    monkeypatch.setenv("WEIR_BIN", str(weir))
    run = dag.test(logical_date=RUN_AT)
    assert run.state == "success"
    assert called.read_text() == "batch score --as-of 2026-06-03\n"
