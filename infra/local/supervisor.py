"""The supervisord of one stack: starting it, asking it, ending it.

Finds supervisord by its pid file and its socket, and leftover processes by the mark of the stack.
Which programs there are and in which order they start is not known here; `stack.py` decides that.
"""

import json
import os
import signal
import subprocess
from typing import NoReturn

from clients.probes import wait_until
from infra.local import processes
from infra.local.control import CALL_FAILURES, Control, ProcessState
from infra.local.errors import OtherSettingsError, StackError
from infra.local.layout import Layout
from infra.local.programs import STACK_VARIABLE
from schemas.settings import Settings, environment_of

START_S_MAX = 10.0
END_S_MAX = 10.0

_LOG_LINES_SHOWN = 20


class Supervisor:
    """The supervisord of one stack.

    Args:
        settings: the settings of all programs.
        layout: the paths of the stack.
        tied: end supervisord and all programs when this process ends, however it ends.
    """

    def __init__(self, settings: Settings, layout: Layout, *, tied: bool) -> None:
        self.control = Control(layout.supervisor_socket)
        self._settings = settings
        self._layout = layout
        self._tied = tied
        self._process: subprocess.Popen[bytes] | None = None

    def is_running(self) -> bool:
        """Whether supervisord answers."""
        return self.control.answers()

    def environment(self) -> dict[str, str]:
        """The environment of every program: ours, the settings, and the mark of the stack."""
        return {
            **os.environ,
            **environment_of(self._settings),
            STACK_VARIABLE: str(self._layout.data_dir),
        }

    def check_no_leftovers(self) -> None:
        """Refuse to start while processes of an earlier run are alive.

        Raises:
            StackError: names their ids.
        """
        leftovers = processes.of_stack(self._layout.data_dir)
        if leftovers:
            raise StackError(
                f"processes {leftovers} of an earlier run of {self._layout.data_dir} are left; "
                "`make down` ends them"
            )

    def check_settings(self) -> None:
        """Refuse a running supervisord that was started with other settings than ours.

        Raises:
            OtherSettingsError: names each setting that differs.
        """
        ours = environment_of(self._settings)
        theirs = json.loads(self._layout.settings_in_force.read_text(encoding="utf-8"))
        differences = [
            f"{name}={theirs.get(name)} there, {ours.get(name)} here"
            for name in sorted(ours | theirs)
            if ours.get(name) != theirs.get(name)
        ]
        if differences:
            raise OtherSettingsError(
                f"the stack in {self._layout.data_dir} runs with other settings: "
                f"{'; '.join(differences)}; `make down` it first, or set WEIR_DATA_DIR"
            )

    def start(self) -> None:
        """Start supervisord without any program; its configuration must be written.

        Blocks: until it answers, at most ``START_S_MAX``.

        Raises:
            StackError: it does not answer; the message holds the end of its log.
        """
        self._layout.settings_in_force.write_text(
            json.dumps(environment_of(self._settings)), encoding="utf-8"
        )
        self._process = subprocess.Popen(
            self._command(),
            cwd=self._layout.repo,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if not wait_until(self.is_running, timeout_s=START_S_MAX):
            self.fail("supervisord", "supervisord did not start")

    def pid(self) -> int:
        """The process id of the living supervisord, 0 if there is none."""
        try:
            pid = int(self._layout.supervisor_pid.read_text())
        except (OSError, ValueError):
            return 0
        return pid if pid in processes.of_stack(self._layout.data_dir) else 0

    def end(self, pid: int) -> None:
        """Tell supervisord to end and wait for it, at most ``END_S_MAX``."""
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: self._has_ended(pid), timeout_s=END_S_MAX)

    def kill(self, pids: list[int]) -> None:
        """Kill what is left of the stack, and release our own child.

        Raises:
            StackError: a process is alive after SIGKILL.
        """
        if survivors := processes.kill(pids):
            raise StackError(f"processes {survivors} survive SIGKILL; look at them with ps")
        if self._process:
            self._process.wait(timeout=END_S_MAX)
            self._process = None

    def states(self) -> dict[str, ProcessState]:
        """The state of every program by name; empty if supervisord does not answer."""
        try:
            return self.control.processes()
        except CALL_FAILURES:
            return {}

    def fail(self, program: str, what: str) -> NoReturn:
        """Report a failure together with the end of a program's log.

        Raises:
            StackError: always.
        """
        raise StackError(f"{what}\n{self._log_tail(program)}")

    def _command(self) -> list[str]:
        python = str(self._layout.python)
        tie = ("--tied", str(os.getpid())) if self._tied else ()
        return [
            *(python, "-m", "infra.local.launch", *tie, "--"),
            *(python, "-m", "supervisor.supervisord", "-c", str(self._layout.supervisor_conf)),
        ]

    def _has_ended(self, pid: int) -> bool:
        if self._process:
            self._process.poll()
        return not processes.is_alive(pid)

    def _log_tail(self, program: str) -> str:
        log = self._layout.log(program)
        try:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return f"({log} does not exist)"
        return "\n".join([f"--- the end of {log}", *lines[-_LOG_LINES_SHOWN:]])
