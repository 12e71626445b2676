"""What the doctor says: every failure with what to do about it."""

from pathlib import Path

import pytest

from infra.local import doctor, processes
from infra.local.stack import Stack
from schemas.settings import Settings

WORKER = "python -m pyflink.fn_execution.beam.beam_boot --id=1"


@pytest.fixture
def flink_conf(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text("python:\n  execution-mode: thread\n")
    return tmp_path


def test_thread_mode_without_python_workers_is_well(
    monkeypatch: pytest.MonkeyPatch, flink_conf: Path
) -> None:
    monkeypatch.setattr(processes, "children", lambda pid: [(2, "find-library")])
    assert doctor.thread_mode(1, flink_conf=flink_conf).ok


def test_a_python_worker_below_the_task_manager_is_a_fall_back_to_process_mode(
    monkeypatch: pytest.MonkeyPatch, flink_conf: Path
) -> None:
    monkeypatch.setattr(processes, "children", lambda pid: [(2, "find-library"), (3, WORKER)])
    check = doctor.thread_mode(1, flink_conf=flink_conf)
    assert not check.ok
    assert "1 Python workers" in check.detail


def test_a_configuration_that_does_not_ask_for_threads_is_named(flink_conf: Path) -> None:
    (flink_conf / "config.yaml").write_text("python:\n  execution-mode: process\n")
    check = doctor.thread_mode(1, flink_conf=flink_conf)
    assert not check.ok
    assert "python.execution-mode: thread" in check.advice


def test_on_an_empty_checkout_every_failure_says_what_to_do(tmp_path: Path) -> None:
    stack = Stack(Settings(data_dir=tmp_path / "data"), repo=tmp_path)
    failed = {check.name: check for check in doctor.examine(stack) if not check.ok}
    assert {"Flink environment", "Kafka's jars", "Flink's jars", "stack"} <= set(failed)
    assert failed["stack"].advice == "run `make up`"
    assert failed["Kafka's jars"].advice == "run `make jars`"
    assert not (tmp_path / "data").exists()


def test_two_versions_of_a_jar_are_reported(tmp_path: Path) -> None:
    for name in ("flink-dist-2.2.0.jar", "flink-dist-2.3.0.jar"):
        (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError, match="2 files match"):
        doctor._flink_jars(tmp_path)
