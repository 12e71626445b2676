"""A job that fails again and again is not well, though its tasks run between two failures."""

import time
from pathlib import Path
from typing import Any

import pytest

from clients import probes
from infra.local import doctor, stack
from infra.local.errors import StackError
from infra.local.job_health import JobHealth, read_job_health
from infra.local.stack import ProgramStatus, Stack
from schemas.settings import Settings

TRACE = (
    "org.apache.flink.runtime.JobException: Recovery is suppressed\n"
    "\tat org.apache.flink.Some.where(Some.java:1)\n"
    "Caused by: java.io.IOException: Failed to send\n"
    "Caused by: java.lang.NoClassDefFoundError: com/github/luben/zstd/Zstd\n\tat more"
)


SHUTDOWN = "org.apache.flink.util.FlinkExpectedException"


def failure(time_ms: int, name: str, trace: str) -> dict[str, Any]:
    return {"timestamp": time_ms, "exceptionName": name, "stacktrace": trace}


class Rest:
    """Answers of Flink's REST interface.

    Args:
        ages_ms: how long ago tasks failed, ms.
        ends_ms: how long ago TaskManagers ended, ms.
        running: tasks that run, of two.
        job: what is said of the job.
    """

    def __init__(
        self,
        *,
        ages_ms: tuple[int, ...] = (),
        ends_ms: tuple[int, ...] = (),
        running: int = 2,
        **job: Any,
    ) -> None:
        now_ms = time.time_ns() // 1_000_000
        self.job = {
            "jid": "j1",
            "name": "weir-velocity",
            "state": "RUNNING",
            "start-time": now_ms - 600_000,
            "last-modification": now_ms - 5_000,
            "tasks": {"running": running, "total": 2},
            **job,
        }
        entries = [failure(now_ms - age_ms, "java.io.IOException", TRACE) for age_ms in ages_ms]
        entries += [failure(now_ms - age_ms, SHUTDOWN, f"{SHUTDOWN}: bye") for age_ms in ends_ms]
        self.answers = {
            "/jobs/overview": {"jobs": [self.job]},
            "/jobs/j1": {"now": now_ms},
            "/jobs/j1/exceptions": {"exceptionHistory": {"entries": entries}},
            "/jobs/j1/metrics?get=numRestarts": [{"id": "numRestarts", "value": "17"}],
        }

    def get_json(self, url: str) -> Any:
        return self.answers.get(url.removeprefix("http://flink"))


@pytest.fixture
def health(monkeypatch: pytest.MonkeyPatch) -> Any:
    def read(rest: Rest) -> JobHealth:
        monkeypatch.setattr(probes, "get_json", rest.get_json)
        return read_job_health("http://flink")

    return read


def test_a_job_that_failed_twice_within_a_minute_is_not_well_and_says_why(health: Any) -> None:
    found = health(Rest(ages_ms=(20_000, 5_000)))
    assert not found.is_well
    text = str(found)
    assert text.startswith("velocity job restarting (17 restarts), last cause at ")
    assert text.endswith("Z): java.lang.NoClassDefFoundError: com/github/luben/zstd/Zstd")


def test_a_job_that_failed_once_and_runs_again_is_well_and_still_says_why(health: Any) -> None:
    found = health(Rest(ages_ms=(300_000, 200_000, 5_000)))
    assert found.is_well
    assert str(found).startswith("velocity job running (17 restarts), last cause at ")


def test_the_end_of_the_task_manager_after_a_failure_is_neither_cause_nor_counted(
    health: Any,
) -> None:
    found = health(Rest(ages_ms=(5_000,), ends_ms=(4_000,)))
    assert found.is_well
    assert found.cause.startswith("java.lang.NoClassDefFoundError")
    assert not health(Rest(ends_ms=(4_000, 14_000))).is_well


@pytest.mark.parametrize("rest", [Rest(state="RESTARTING"), Rest(running=1)])
def test_a_job_whose_tasks_do_not_all_run_is_not_well(health: Any, rest: Rest) -> None:
    assert not health(rest).is_well


@pytest.mark.parametrize("rest", [Rest(state="FAILED"), Rest(name="weir-backfill")])
def test_a_job_that_has_ended_and_a_job_of_another_name_do_not_count(
    health: Any, rest: Rest
) -> None:
    assert str(health(rest)) == "no job weir-velocity runs"


def test_a_job_manager_that_does_not_answer_or_ends_meanwhile_has_no_job(health: Any) -> None:
    rest = Rest()
    del rest.answers["/jobs/j1"]
    assert health(rest) == JobHealth()
    rest.answers.clear()
    assert health(rest) == JobHealth()


def looping(monkeypatch: pytest.MonkeyPatch, health: JobHealth) -> None:
    monkeypatch.setattr(stack, "read_job_health", lambda url: health)


def test_up_gives_up_on_a_job_that_fails_again_and_again_and_tells_the_cause(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failing = JobHealth("RUNNING", True, 0, 3, recent_failures=3, cause="java.lang.Error: e")
    looping(monkeypatch, failing)
    with pytest.raises(StackError, match=r"3 restarts.*java\.lang\.Error: e; log .*taskmanager"):
        Stack(Settings(data_dir=tmp_path))._wait_for_job(deadline_s=time.monotonic() + 60)


def test_up_waits_until_the_job_has_run_for_a_while(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looping(monkeypatch, JobHealth("RUNNING", True, stack.JOB_SETTLED_MS))
    Stack(Settings(data_dir=tmp_path))._wait_for_job(deadline_s=0)
    looping(monkeypatch, JobHealth("RUNNING", True, stack.JOB_SETTLED_MS - 1))
    with pytest.raises(StackError, match="velocity job running; log"):
        Stack(Settings(data_dir=tmp_path))._wait_for_job(deadline_s=0)


def test_the_log_of_a_job_that_was_never_submitted_is_that_of_its_client(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looping(monkeypatch, JobHealth())
    with pytest.raises(StackError, match=r"no job weir-velocity runs; log .*velocity-job"):
        Stack(Settings(data_dir=tmp_path))._wait_for_job(deadline_s=0)


def test_the_doctor_points_to_the_log_of_the_task_that_failed() -> None:
    job = JobHealth("RUNNING", True, 0, 17, recent_failures=5, cause="java.lang.Error: e")
    log = Path("taskmanager.log")
    check = doctor._program(ProgramStatus("velocity-job", "RUNNING", 1, False, (), "up", log, job))
    assert "restarting (17 restarts), last cause" in check.detail
    assert "java.lang.Error: e" in check.detail
    assert check.advice.startswith("see taskmanager.log")
