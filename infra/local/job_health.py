"""Whether the velocity job really works, asked over Flink's REST interface.

A job that fails at one record is restarted for ever, and its tasks run for a moment after each
restart. So "all tasks run" is not enough: the failures of the last minute count as well. Called by
`stack.py`, which says what the log is; raises nothing while the JobManager does not answer.
"""

from dataclasses import dataclass
from typing import Any

from clients import probes
from schemas.errors import shown_time
from streams.velocity.cluster import JOB_NAME

RECENT_MS = 60_000
"""Failures within this time count. Flink's longest wait between two restarts is 10 s."""
RECENT_FAILURES_MAX = 1
"""A job that failed once, because a TaskManager was killed for example, and runs again is well."""
CAUSE_LENGTH_MAX = 300

_CONSEQUENCE = "org.apache.flink.util.FlinkExpectedException"
"""Failure of the tasks of a TaskManager that ends; a failed task makes it end."""
_ENDED = frozenset({"FAILED", "CANCELED", "FINISHED", "SUSPENDED"})


@dataclass(frozen=True, slots=True)
class JobHealth:
    """The velocity job at one moment.

    Attributes:
        state: Flink's state of the job; empty if the cluster has no such job that has not ended.
        has_all_tasks: whether all its tasks run.
        unchanged_ms: for how long no task and not the job has changed its state, ms.
        restarts: how often Flink has restarted it since it was submitted; None if unknown.
        recent_failures: failures within ``RECENT_MS``.
        cause: first line of the newest failure; empty without one.
        failed_at_ms: time of the newest failure, ms since 1970 UTC; 0 without one.
    """

    state: str = ""
    has_all_tasks: bool = False
    unchanged_ms: int = 0
    restarts: int | None = None
    recent_failures: int = 0
    cause: str = ""
    failed_at_ms: int = 0

    @property
    def is_well(self) -> bool:
        """Whether it runs and does not fail again and again."""
        return (
            self.state == "RUNNING"
            and self.has_all_tasks
            and self.recent_failures <= RECENT_FAILURES_MAX
        )

    def __str__(self) -> str:
        """Give the state as one sentence, with the cause of the newest failure."""
        if not self.state:
            return f"no job {JOB_NAME} runs"
        restarts = "" if not self.restarts else f" ({self.restarts} restarts)"
        if self.is_well:
            text = f"velocity job running{restarts}"
        elif self.recent_failures:
            text = f"velocity job restarting{restarts}"
        else:
            text = f"velocity job {self.state}, not all of its tasks run{restarts}"
        if not self.cause:
            return text
        return f"{text}, last cause at {shown_time(self.failed_at_ms)}: {self.cause}"


def read_job_health(rest_url: str) -> JobHealth:
    """Ask the JobManager. Four requests, each at most `probes.PROBE_TIMEOUT_S`.

    Ages are by the JobManager's clock, which also gave the times.
    """
    overview = probes.get_json(f"{rest_url}/jobs/overview") or {"jobs": []}
    ours = [job for job in overview["jobs"] if job["name"] == JOB_NAME]
    jobs = [job for job in ours if job["state"] not in _ENDED]
    if not jobs:
        return JobHealth()
    job = max(jobs, key=lambda job: job["start-time"])
    url = f"{rest_url}/jobs/{job['jid']}"
    details = probes.get_json(url)
    if details is None:
        return JobHealth()
    now_ms = details["now"]
    failures = _failures(f"{url}/exceptions")
    newest = max(failures, key=lambda failure: failure["timestamp"], default=None)
    return JobHealth(
        state=job["state"],
        has_all_tasks=0 < job["tasks"]["total"] == job["tasks"]["running"],
        unchanged_ms=now_ms - job["last-modification"],
        restarts=_restarts(f"{url}/metrics?get=numRestarts"),
        recent_failures=sum(now_ms - failure["timestamp"] < RECENT_MS for failure in failures),
        cause="" if newest is None else _cause(newest["stacktrace"]),
        failed_at_ms=0 if newest is None else newest["timestamp"],
    )


def _failures(url: str) -> list[dict[str, Any]]:
    answer = probes.get_json(url) or {}
    entries: list[dict[str, Any]] = answer.get("exceptionHistory", {}).get("entries", [])
    return [entry for entry in entries if entry["exceptionName"] != _CONSEQUENCE] or entries


def _restarts(url: str) -> int | None:
    answer = probes.get_json(url) or []
    return next((int(float(metric["value"])) for metric in answer), None)


def _cause(stacktrace: str) -> str:
    """The innermost cause of a Java stack trace: the outer ones say only that a task failed."""
    lines = stacktrace.splitlines()
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return (causes[-1] if causes else next(iter(lines), ""))[:CAUSE_LENGTH_MAX]
