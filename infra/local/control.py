"""Speaks with one running supervisord through its socket.

The only module that knows supervisor's own interface. Process states are supervisor's words:
STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL.
"""

import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

GROUP = "weir"
"""All programs are in one group; supervisor calls them ``weir:kafka`` and so on."""

CALL_FAILURES = (OSError, xmlrpc.client.Error)
"""What a call raises when supervisord is not there, or is just going."""

_ALREADY_STARTED = 60
_NOT_RUNNING = 70
_WAIT = False
"""Calls come back at once: the stack starts and stops several programs at a time."""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """What supervisord says about one program.

    Args:
        state: supervisor's word for it.
        pid: process id, 0 if there is none.
        description: uptime or what went wrong, in supervisor's words.
        started_s, stopped_s: seconds since 1970 of the last start and end, 0 for never.
    """

    name: str
    state: str
    pid: int
    description: str
    started_s: int
    stopped_s: int


class Control:
    """The calls the stack makes; each raises one of ``CALL_FAILURES`` if nobody answers."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path

    def processes(self) -> dict[str, ProcessState]:
        """Every program of the configuration, by name."""
        return {info["name"]: _state(info) for info in self._call("getAllProcessInfo")}

    def start(self, program: str) -> None:
        """Start a program without waiting for it; nothing happens if it runs."""
        try:
            self._call("startProcess", f"{GROUP}:{program}", _WAIT)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _ALREADY_STARTED:
                raise

    def stop(self, program: str) -> None:
        """Tell a program to stop, without waiting; nothing happens if it does not run."""
        try:
            self._call("stopProcess", f"{GROUP}:{program}", _WAIT)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _NOT_RUNNING:
                raise

    def answers(self) -> bool:
        """Whether a supervisord is there."""
        try:
            self._call("getState")
        except CALL_FAILURES:
            return False
        return True

    def _call(self, method: str, *arguments: object) -> Any:
        transport = SupervisorTransport(None, None, serverurl=f"unix://{self._socket_path}")
        # The address is only for the library; the transport goes to the socket.
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
