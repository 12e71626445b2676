"""Calls one running supervisord through its socket.

The only module that knows supervisor's own interface. The states of processes are those of
supervisor: STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL.
"""

import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

GROUP = "weir"
"""All programs are in one group; supervisor calls them ``weir:kafka`` and so on."""

CALL_FAILURES = (OSError, xmlrpc.client.Error)
"""Exceptions of a call if supervisord does not run, or is about to end."""

_ALREADY_STARTED = 60
_NOT_RUNNING = 70
_WAIT = False
"""Calls return at once, because the stack starts and stops several programs at the same time."""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """The state of one program, as supervisord reports it.

    Args:
        state: name of the state.
        pid: process id, 0 if there is none.
        description: uptime or error, as supervisord reports it.
        started_s, stopped_s: seconds since 1970 of the last start and end, 0 for never.
    """

    name: str
    state: str
    pid: int
    description: str
    started_s: int
    stopped_s: int


class Control:
    """The calls to supervisord; each raises one of ``CALL_FAILURES`` if it does not answer."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path

    def processes(self) -> dict[str, ProcessState]:
        """Every program of the configuration, by name."""
        return {info["name"]: _state(info) for info in self._call("getAllProcessInfo")}

    def start(self, program: str) -> None:
        """Start a program without waiting for it; does nothing if it runs."""
        try:
            self._call("startProcess", f"{GROUP}:{program}", _WAIT)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _ALREADY_STARTED:
                raise

    def stop(self, program: str) -> None:
        """Tell a program to stop, without waiting for it; does nothing if it does not run."""
        try:
            self._call("stopProcess", f"{GROUP}:{program}", _WAIT)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _NOT_RUNNING:
                raise

    def answers(self) -> bool:
        """Whether supervisord answers."""
        try:
            self._call("getState")
        except CALL_FAILURES:
            return False
        return True

    def _call(self, method: str, *arguments: object) -> Any:
        transport = SupervisorTransport(None, None, serverurl=f"unix://{self._socket_path}")
        # The library asks for an address; the transport uses the socket.
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)


def _state(info: dict[str, Any]) -> ProcessState:
    return ProcessState(
        name=info["name"],
        state=info["statename"],
        pid=info["pid"],
        description=info["description"] or info["spawnerr"],
        started_s=info["start"],
        stopped_s=info["stop"],
    )
