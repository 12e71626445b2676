"""Starts, stops and watches one local stack: all programs of Weir, under one supervisord.

The command line and the tests use it; tests give it a temporary data directory and free ports. What
the programs are is in `programs.py`, how supervisord itself is run in `supervisor.py`, and whether
a program answers is asked by `clients/probes.py`.
"""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from clients import probes
from infra.local import processes
from infra.local.configuration import render
from infra.local.control import CALL_FAILURES, ProcessState
from infra.local.errors import StackError
from infra.local.job_health import JobHealth, read_job_health
from infra.local.layout import REPO, Layout
from infra.local.optional_programs import (
    POSTGRES,
    format_postgres,
    optional_programs,
    predictions_address,
)
from infra.local.ports import check_ports
from infra.local.programs import OURS, VELOCITY_JOB, Program, programs
from infra.local.storage import format_kafka
from infra.local.supervisor import Supervisor
from schemas.settings import Settings

READY_S_MAX = 300.0
STOP_MARGIN_S = 10.0
FAILED_STARTS_MAX = 3
"""`up` gives up on a program that ends this often while the stack starts, and on a velocity job
that fails this often within a minute."""
JOB_SETTLED_MS = 3_000
"""`up` waits until the velocity job has run for this long, because a job that fails at its first
record runs for a moment after each restart."""


def _say_nothing(line: str) -> None:
    pass


def _absolute(archive_url: str, repo: Path) -> str:
    """An absolute path for a directory; the address of an object store is not changed."""
    return archive_url if "://" in archive_url else str((repo / archive_url).resolve())


@dataclass(frozen=True, slots=True)
class ProgramStatus:
    """One line of `weir status`.

    Args:
        state: state as supervisord names it (RUNNING, FATAL, ...), STOPPED if supervisord does not
            run.
        pid: process id, 0 if there is none.
        ready: whether the program answers now; for a program that serves no requests, whether it
            runs; for the velocity job, whether the job itself works.
        ports: ports on which it listens.
        description: uptime or error, as supervisord reports it.
        log: the log file that says why it is not ready.
        job: for the velocity job, how the job itself is.
    """

    name: str
    state: str
    pid: int
    ready: bool
    ports: tuple[int, ...]
    description: str
    log: Path
    job: JobHealth | None = None


class Stack:
    """One stack: a data directory, its ports, its programs.

    Args:
        settings: ports, directories and all other settings. A relative ``data_dir`` is relative to
            the checkout.
        repo: the checkout with the environments and the downloads.
        tied: end everything when this process ends, however it ends; for tests.
        report: called with one line for each step; does nothing by default.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        repo: Path = REPO,
        tied: bool = False,
        report: Callable[[str], object] = _say_nothing,
    ) -> None:
        data_dir = (repo / settings.data_dir).resolve()
        self.settings = settings.model_copy(
            update={"data_dir": data_dir, "archive_url": _absolute(settings.archive_url, repo)}
        )
        self.layout = Layout(repo=repo.resolve(), data_dir=data_dir)
        if not self.settings.predictions_url:
            address = predictions_address(self.settings, self.layout)
            self.settings = self.settings.model_copy(update={"predictions_url": address})
        self._supervisor = Supervisor(self.settings, self.layout, tied=tied)
        self._report = report

    @cached_property
    def programs(self) -> tuple[Program, ...]:
        """The table of programs; made at first use, because it reads the installed Flink.

        Raises:
            FileNotFoundError: Flink is not installed.
        """
        return programs(self.settings, self.layout)

    @cached_property
    def optional_programs(self) -> tuple[Program, ...]:
        """The programs that are started only by name."""
        return optional_programs(self.settings, self.layout)

    def environment(self) -> dict[str, str]:
        """The environment of every program of this stack."""
        return self._supervisor.environment()

    def render(self) -> None:
        """Write all configuration files; running programs are not changed.

        Raises:
            DataDirError: the data directory cannot work; see `configuration.render`.
        """
        render(self.settings, self.layout, (*self.programs, *self.optional_programs))

    def is_running(self) -> bool:
        """Whether this stack's supervisor answers."""
        return self._supervisor.is_running()

    def up(
        self,
        *,
        wait: bool = True,
        programs: Iterable[str] | None = None,
        optional: Collection[str] = (),
    ) -> bool:
        """Start all programs, or those that are not running.

        Blocks: until everything answers, at most ``READY_S_MAX``; with ``wait=False`` only until
        the topics exist.
        On failure: the programs that were started keep running, for inspection; `down` ends them.

        Args:
            wait: wait until every program answers.
            programs: names of the programs to start; all but optional ones by default.
            optional: names of optional programs to start as well.

        Returns:
            False if all programs were already running.

        Raises:
            PortInUseError: a port is taken; nothing was started.
            OtherSettingsError: the stack runs with other settings than ours.
            StackError: a program does not start, or does not answer in time.
        """
        wanted = self._select(programs)
        if optional:
            wanted = (*wanted, *self._select(optional))
        if self.is_running():
            self._supervisor.check_settings()
        missing = [program for program in wanted if not self._is_started(program.name)]
        kafka = next((program for program in wanted if program.name == "kafka"), None)
        if not missing:
            self._report(f"the stack in {self.layout.data_dir} is already running")
            if kafka:
                self._create_topics(kafka)
            if wait:
                self.wait_ready(program.name for program in wanted)
            return False
        self._report(f"starting {', '.join(program.name for program in missing)}")
        needs_supervisor = not self.is_running()
        if needs_supervisor:
            self._supervisor.check_no_leftovers()
        check_ports((program.name, port) for program in missing for port in program.ports)
        if needs_supervisor:
            self.render()
            format_kafka(self.layout)
            self._supervisor.start()
        if any(program.name == POSTGRES for program in missing):
            format_postgres(self.settings, self.layout)
        self._start(missing, kafka)
        if wait:
            self.wait_ready(program.name for program in wanted)
        return True

    def wait_ready(self, names: Iterable[str] | None = None) -> None:
        """Block until the named programs (all by default) answer, at most ``READY_S_MAX``.

        Raises:
            StackError: a program does not answer; the message holds the end of its log. Or the
                velocity job fails again and again; the message holds the cause.
        """
        deadline_s = time.monotonic() + READY_S_MAX
        selected = self._select(names)
        for program in selected:
            self._wait_for(program, deadline_s=deadline_s)
            self._report(f"{program.name} is up")
        if any(program.name == VELOCITY_JOB for program in selected):
            self._wait_for_job(deadline_s=deadline_s)

    def down(self) -> bool:
        """Stop every process of this stack.

        Blocks: each program may take its ``stop_wait_s``; what is left after that is killed.

        Returns:
            False if nothing was running.

        Raises:
            StackError: a process is alive after SIGKILL.
        """
        supervisor_pid = self._supervisor.pid()
        if supervisor_pid:
            self._report("stopping")
            self._stop((*self.programs, *self.optional_programs))
            self._supervisor.end(supervisor_pid)
        left = processes.of_stack(self.layout.data_dir)
        if left:
            self._report(f"killing what is left: {left}")
        self._supervisor.kill(left)
        return bool(supervisor_pid or left)

    def status(self) -> tuple[ProgramStatus, ...]:
        """The status of each program now, in the order of the start; optional ones if started."""
        states = self._supervisor.states()
        started = [
            program
            for program in self.optional_programs
            if program.name in states and states[program.name].state != "STOPPED"
        ]
        return tuple(
            self._status_of(each, states.get(each.name)) for each in (*self.programs, *started)
        )

    def job_health(self) -> JobHealth:
        """Whether the velocity job works now."""
        return read_job_health(self.settings.flink_rest_url)

    def pid(self, program: str) -> int:
        """The process id of a running program, not of a shell around it.

        Raises:
            StackError: it is not running.
        """
        state = self._supervisor.states().get(program)
        if state is None or not state.pid:
            raise StackError(f"{program} is not running: {state.state if state else 'STOPPED'}")
        return state.pid

    def stop(self, program: str) -> None:
        """Stop one program and wait until it has ended; it is not restarted."""
        self._stop(self._select([program]))

    def restart(self, program: str) -> None:
        """Stop one program if it runs, start it, and wait until it answers.

        Raises:
            StackError: the program does not start.
        """
        self.stop(program)
        self._supervisor.control.start(program)
        self.wait_ready([program])

    def _select(self, names: Iterable[str] | None) -> tuple[Program, ...]:
        if names is None:
            return self.programs
        chosen, every = set(names), (*self.programs, *self.optional_programs)
        if unknown := chosen - {program.name for program in every}:
            known = ", ".join(program.name for program in every)
            raise ValueError(f"no such program: {', '.join(sorted(unknown))}; there are {known}")
        return tuple(program for program in every if program.name in chosen)

    def _create_topics(self, kafka: Program) -> None:
        """Create the topics that are missing, also while Kafka runs already."""
        self._wait_for(kafka, deadline_s=time.monotonic() + READY_S_MAX)
        # Imported here, because the client library takes half a second to import.
        from infra.local.topics import create_topics  # noqa: PLC0415

        made = create_topics(
            self.settings.kafka_bootstrap,
            self.settings.topic_partitions,
            retention_mib=self.settings.retention_mib(),
        )
        self._report(f"created topics: {', '.join(made)}" if made else "the topics exist")

    def _is_started(self, name: str) -> bool:
        state = self._supervisor.states().get(name)
        return state is not None and state.state in ("STARTING", "RUNNING", "BACKOFF")

    def _start(self, wanted: list[Program], kafka: Program | None) -> None:
        """Start the services, create the topics, then start the programs that use topics."""
        for program in wanted:
            if program.stage < OURS:
                self._supervisor.control.start(program.name)
        if kafka:
            self._create_topics(kafka)
        for program in wanted:
            if program.stage == OURS:
                self._supervisor.control.start(program.name)

    def _stop(self, chosen: Sequence[Program]) -> None:
        """Stop the stages, the last one first; supervisord kills a program that takes too long."""
        for stage in sorted({program.stage for program in chosen}, reverse=True):
            of_stage = [program for program in chosen if program.stage == stage]
            names = [program.name for program in of_stage]
            try:
                for name in names:
                    self._supervisor.control.stop(name)
            except CALL_FAILURES:
                return
            limit_s = max(program.stop_wait_s for program in of_stage) + STOP_MARGIN_S
            probes.wait_until(lambda: not self._live(names), timeout_s=limit_s)  # noqa: B023

    def _live(self, names: Iterable[str]) -> set[str]:
        """Names of the programs that have a process."""
        return {
            name for name, state in self._supervisor.states().items() if name in names and state.pid
        }

    def _wait_for(self, program: Program, *, deadline_s: float) -> None:
        ends_s: set[int] = set()
        while not self._is_ready(program):
            state = self._supervisor.states().get(program.name)
            if state is None:
                self._supervisor.fail("supervisord", "supervisord has ended")
            if state.stopped_s:
                ends_s.add(state.stopped_s)
            if state.state in ("FATAL", "STOPPED") or len(ends_s) >= FAILED_STARTS_MAX:
                what = f"does not stay up ({state.state}: {state.description})"
                self._supervisor.fail(program.name, f"{program.name} {what}")
            if time.monotonic() >= deadline_s:
                what = f"does not answer {program.ready} ({state.state})"
                self._supervisor.fail(program.name, f"{program.name} {what}")
            time.sleep(0.1)

    def _wait_for_job(self, *, deadline_s: float) -> None:
        """Wait until the job has run for a while; it may fail right after it has started."""
        while True:
            health = self.job_health()
            if health.is_well and health.unchanged_ms >= JOB_SETTLED_MS:
                return
            if health.recent_failures >= FAILED_STARTS_MAX or time.monotonic() >= deadline_s:
                raise StackError(f"{health}; log {self._log_of_job(health)}")
            time.sleep(0.1)

    def _log_of_job(self, health: JobHealth) -> Path:
        """The log that says why: a task fails in the TaskManager, a job is submitted by a client.

        A job that does not run all tasks has either failed in one, or got no slots for them.
        """
        if not health.state:
            return self.layout.log(VELOCITY_JOB)
        return self.layout.log("taskmanager" if health.cause else "jobmanager")

    def _is_ready(self, program: Program) -> bool:
        if program.ready:
            return probes.is_ready(program.ready)
        state = self._supervisor.states().get(program.name)
        return state is not None and state.state == "RUNNING"

    def _status_of(self, program: Program, state: ProcessState | None) -> ProgramStatus:
        is_running = state is not None and state.state == "RUNNING"
        status = ProgramStatus(
            name=program.name,
            state=state.state if state else "STOPPED",
            pid=state.pid if state else 0,
            ready=is_running and self._is_ready(program),
            ports=tuple(port.number for port in program.ports),
            description=state.description if state else "",
            log=self.layout.log(program.name),
        )
        if program.name != VELOCITY_JOB or not is_running:
            return status
        health = self.job_health()
        return replace(
            status,
            ready=status.ready and health.is_well,
            log=self._log_of_job(health) if not health.is_well else status.log,
            job=health,
        )
