"""Starts, stops and watches one local stack: everything Weir needs, under one supervisord.

Used alike by the command line and by the tests, which give it a temporary data directory and free
ports. It refuses to know what the programs do: `programs.py` is the list, `readiness.py` the
questions.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from clients import probes as readiness
from infra.local import processes
from infra.local.configuration import render
from infra.local.control import CALL_FAILURES, Control, ProcessState
from infra.local.errors import OtherSettingsError, StackError
from infra.local.layout import REPO, Layout
from infra.local.ports import check_ports
from infra.local.programs import OURS, STACK_VARIABLE, Program, programs
from infra.local.storage import format_kafka
from schemas.settings import Settings, environment_of

SUPERVISOR_START_S_MAX = 10.0
READY_S_MAX = 300.0
STOP_MARGIN_S = 10.0
FAILED_STARTS_MAX = 3
"""A program that ends this often while the stack comes up makes `up` give up."""

_LOG_LINES_SHOWN = 20


def _say_nothing(line: str) -> None:
    pass


def _absolute(archive_url: str, repo: Path) -> str:
    """A directory as an absolute path; the address of an object store as it is."""
    return archive_url if "://" in archive_url else str((repo / archive_url).resolve())


@dataclass(frozen=True, slots=True)
class ProgramStatus:
    """One line of `weir status`.

    Args:
        state: supervisor's word (RUNNING, FATAL, ...), STOPPED if nothing runs.
        pid: process id, 0 if there is none.
        ready: whether its service answers now; for a program that serves nobody, whether it runs.
        ports: where it listens.
        log: its log file.
    """

    name: str
    state: str
    pid: int
    ready: bool
    ports: tuple[int, ...]
    description: str
    log: Path


class Stack:
    """One stack: a data directory, its ports, its programs.

    Args:
        settings: which ports and directory. A relative ``data_dir`` is taken from the checkout.
        repo: the checkout with the environments and the downloads.
        tied: end everything when this process ends, however it ends; for tests.
        report: told in one line what happens; silent by default.
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
        self._control = Control(self.layout.supervisor_socket)
        self._tied = tied
        self._report = report
        self._supervisor: subprocess.Popen[bytes] | None = None

    @cached_property
    def programs(self) -> tuple[Program, ...]:
        """The table of programs; made when asked for, as it reads the installed Flink.

        Raises:
            FileNotFoundError: Flink is not installed.
        """
        return programs(self.settings, self.layout)

    def environment(self) -> dict[str, str]:
        """The environment of every program of this stack: ours, its settings, its mark."""
        return {
            **os.environ,
            **environment_of(self.settings),
            STACK_VARIABLE: str(self.layout.data_dir),
        }

    def render(self) -> None:
        """Write all configuration files; changes nothing that runs.

        Raises:
            DataDirError: the data directory cannot work; see `configuration.render`.
        """
        render(self.settings, self.layout, self.programs)

    def is_running(self) -> bool:
        """Whether this stack's supervisor answers."""
        return self._control.answers()

    def up(self, *, wait: bool = True, programs: Iterable[str] | None = None) -> bool:
        """Start the stack, or what is missing of it.

        Blocks: until everything answers, at most ``READY_S_MAX``; with ``wait=False`` only until
        the topics exist.
        On failure: what was started is left running, so that it can be looked at; `down` ends it.

        Args:
            wait: wait until every started program answers.
            programs: names of those to start; all of them by default.

        Returns:
            False if all of it was already running and nothing was done.

        Raises:
            PortInUseError: before anything was started.
            OtherSettingsError: the stack runs with other settings than ours.
            StackError: a program does not start, or does not answer in time.
        """
        wanted = self._select(programs)
        if self.is_running():
            self._check_settings_in_force()
        missing = [program for program in wanted if not self._is_started(program.name)]
        if not missing:
            self._report(f"the stack in {self.layout.data_dir} is already running")
            return False
        self._report(f"starting {', '.join(program.name for program in missing)}")
        if not self.is_running():
            self._start_supervisor(missing)
        else:
            check_ports((program.name, port) for program in missing for port in program.ports)
        self._start(missing)
        if wait:
            self.wait_ready(program.name for program in wanted)
        return True

    def wait_ready(self, names: Iterable[str] | None = None) -> None:
        """Block until the named programs (all by default) answer, at most ``READY_S_MAX``.

        Raises:
            StackError: names the program that does not, with the end of its log.
        """
        deadline_s = time.monotonic() + READY_S_MAX
        for program in self._select(names):
            self._wait_for(program, deadline_s=deadline_s)
            self._report(f"{program.name} is up")

    def down(self) -> bool:
        """Stop every process of this stack, and leave none behind.

        Blocks: each program may take its ``stop_wait_s``; what is left after that is killed.

        Returns:
            False if nothing was running.

        Raises:
            StackError: a process survives even SIGKILL.
        """
        supervisor_pid = self._supervisor_pid()
        if supervisor_pid:
            self._report("stopping")
            self._stop(self.programs)
            os.kill(supervisor_pid, signal.SIGTERM)
            readiness.wait_until(lambda: self._has_ended(supervisor_pid), timeout_s=STOP_MARGIN_S)
        left = processes.of_stack(self.layout.data_dir)
        if left:
            self._report(f"killing what is left: {left}")
        if survivors := processes.kill(left):
            raise StackError(f"processes {survivors} survive SIGKILL; look at them with ps")
        if self._supervisor:
            self._supervisor.wait(timeout=STOP_MARGIN_S)
            self._supervisor = None
        return bool(supervisor_pid or left)

    def status(self) -> tuple[ProgramStatus, ...]:
        """One entry a program, in start order, asked now."""
        states = self._states()
        return tuple(self._status_of(each, states.get(each.name)) for each in self.programs)

    def pid(self, program: str) -> int:
        """The process id of a running program: the program itself, no shell before it.

        Raises:
            StackError: it is not running.
        """
        state = self._states().get(program)
        if state is None or not state.pid:
            raise StackError(f"{program} is not running: {state.state if state else 'STOPPED'}")
        return state.pid

    def stop(self, program: str) -> None:
        """Stop one program and wait until it has ended; it stays down until started again."""
        self._stop(self._select([program]))

    def restart(self, program: str) -> None:
        """Stop one program if it runs, start it, and wait until it answers.

        Raises:
            StackError: it does not come up.
        """
        self.stop(program)
        self._control.start(program)
        self.wait_ready([program])

    def _select(self, names: Iterable[str] | None) -> tuple[Program, ...]:
        if names is None:
            return self.programs
        chosen = set(names)
        if unknown := chosen - {program.name for program in self.programs}:
            known = ", ".join(program.name for program in self.programs)
            raise ValueError(f"no such program: {', '.join(sorted(unknown))}; there are {known}")
        return tuple(program for program in self.programs if program.name in chosen)

    def _states(self) -> dict[str, ProcessState]:
        try:
            return self._control.processes()
        except CALL_FAILURES:
            return {}

    def _is_started(self, name: str) -> bool:
        state = self._states().get(name)
        return state is not None and state.state in ("STARTING", "RUNNING", "BACKOFF")

    def _check_settings_in_force(self) -> None:
        ours = environment_of(self.settings)
        theirs = json.loads(self.layout.settings_in_force.read_text(encoding="utf-8"))
        differences = [
            f"{name}={theirs.get(name)} there, {ours.get(name)} here"
            for name in sorted(ours | theirs)
            if ours.get(name) != theirs.get(name)
        ]
        if differences:
            raise OtherSettingsError(
                f"the stack in {self.layout.data_dir} runs with other settings: "
                f"{'; '.join(differences)}; `make down` it first, or set WEIR_DATA_DIR"
            )

    def _start_supervisor(self, wanted: Iterable[Program]) -> None:
        leftovers = processes.of_stack(self.layout.data_dir)
        if leftovers:
            raise StackError(
                f"processes {leftovers} of an earlier run of {self.layout.data_dir} are left; "
                "`make down` ends them"
            )
        check_ports((program.name, port) for program in wanted for port in program.ports)
        self.render()
        self.layout.settings_in_force.write_text(
            json.dumps(environment_of(self.settings)), encoding="utf-8"
        )
        format_kafka(self.layout)
        self._supervisor = subprocess.Popen(
            self._supervisor_command(),
            cwd=self.layout.repo,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if not readiness.wait_until(self.is_running, timeout_s=SUPERVISOR_START_S_MAX):
            raise StackError(f"supervisord did not start\n{self._log_tail('supervisord')}")

    def _supervisor_command(self) -> list[str]:
        python = str(self.layout.python)
        tie = ("--tied", str(os.getpid())) if self._tied else ()
        return [
            *(python, "-m", "infra.local.launch", *tie, "--"),
            *(python, "-m", "supervisor.supervisord", "-c", str(self.layout.supervisor_conf)),
        ]

    def _start(self, wanted: list[Program]) -> None:
        """Start the services, make the topics, then start what reads and writes topics."""
        for program in wanted:
            if program.stage < OURS:
                self._control.start(program.name)
        kafka = next((program for program in wanted if program.name == "kafka"), None)
        if kafka:
            self._wait_for(kafka, deadline_s=time.monotonic() + READY_S_MAX)
            # Imported late: the client library takes half a second that most commands do not need.
            from infra.local.topics import create_topics  # noqa: PLC0415

            made = create_topics(self.settings.kafka_bootstrap, self.settings.topic_partitions)
            self._report(f"made topics: {', '.join(made)}" if made else "the topics exist")
        for program in wanted:
            if program.stage == OURS:
                self._control.start(program.name)

    def _stop(self, chosen: Sequence[Program]) -> None:
        """Stop stage by stage, the last first; supervisord kills what takes too long."""
        for stage in sorted({program.stage for program in chosen}, reverse=True):
            of_stage = [program for program in chosen if program.stage == stage]
            names = [program.name for program in of_stage]
            try:
                for name in names:
                    self._control.stop(name)
            except CALL_FAILURES:
                return
            limit_s = max(program.stop_wait_s for program in of_stage) + STOP_MARGIN_S
            readiness.wait_until(lambda: not self._live(names), timeout_s=limit_s)  # noqa: B023

    def _live(self, names: Iterable[str]) -> set[str]:
        """Those of the programs that have a process."""
        return {name for name, state in self._states().items() if name in names and state.pid}

    def _wait_for(self, program: Program, *, deadline_s: float) -> None:
        ends_s: set[int] = set()
        while not self._is_ready(program):
            state = self._states().get(program.name)
            if state is None:
                raise StackError(f"supervisord has gone\n{self._log_tail('supervisord')}")
            if state.stopped_s:
                ends_s.add(state.stopped_s)
            if state.state in ("FATAL", "STOPPED") or len(ends_s) >= FAILED_STARTS_MAX:
                self._give_up(program, f"does not stay up ({state.state}: {state.description})")
            if time.monotonic() >= deadline_s:
                self._give_up(program, f"does not answer {program.ready} ({state.state})")
            time.sleep(0.1)

    def _give_up(self, program: Program, what: str) -> None:
        raise StackError(f"{program.name} {what}\n{self._log_tail(program.name)}")

    def _is_ready(self, program: Program) -> bool:
        if program.ready:
            return readiness.is_ready(program.ready)
        state = self._states().get(program.name)
        return state is not None and state.state == "RUNNING"

    def _status_of(self, program: Program, state: ProcessState | None) -> ProgramStatus:
        return ProgramStatus(
            name=program.name,
            state=state.state if state else "STOPPED",
            pid=state.pid if state else 0,
            ready=state is not None and state.state == "RUNNING" and self._is_ready(program),
            ports=tuple(port.number for port in program.ports),
            description=state.description if state else "",
            log=self.layout.log(program.name),
        )

    def _supervisor_pid(self) -> int:
        """The id of this stack's living supervisord, 0 if there is none."""
        try:
            pid = int(self.layout.supervisor_pid.read_text())
        except (OSError, ValueError):
            return 0
        return pid if pid in processes.of_stack(self.layout.data_dir) else 0

    def _has_ended(self, pid: int) -> bool:
        if self._supervisor:
            self._supervisor.poll()
        return not processes.is_alive(pid)

    def _log_tail(self, program: str) -> str:
        log = self.layout.log(program)
        try:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return f"({log} does not exist)"
        return "\n".join([f"--- the end of {log}", *lines[-_LOG_LINES_SHOWN:]])
