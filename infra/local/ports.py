"""TCP ports of the loopback interface: which are free, and which processes hold the others."""

import random
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

from infra.local.errors import PortInUseError
from infra.local.processes import command_line
from infra.local.programs import Port

FREE_PORT_MIN, FREE_PORT_MAX = 20_000, 32_000
"""Below Linux' ephemeral range, so that no outgoing connection takes a port before it is used."""

_LISTEN_STATE = "0A"
_TRIES_MAX = 1_000


def is_free(port: int) -> bool:
    """Whether a server could listen on ``127.0.0.1:port`` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """``count`` free ports; the port after each of them is free and unused as well.

    Kafka needs the second one: its controller listens on the port after the broker's.

    Raises:
        RuntimeError: not enough free ports were found.
    """
    found: list[int] = []
    chooser = random.Random()
    for _ in range(_TRIES_MAX):
        port = chooser.randrange(FREE_PORT_MIN, FREE_PORT_MAX, 2)
        if port not in found and is_free(port) and is_free(port + 1):
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"found {len(found)} free ports of {count} in {_TRIES_MAX} tries")


def check_ports(wanted: Iterable[tuple[str, Port]]) -> None:
    """Refuse ports that are taken or wanted by two programs.

    Args:
        wanted: program name and port, for every port of every program to be started.

    Raises:
        PortInUseError: names each port, the program and the setting that want it, and its holder.
    """
    complaints = []
    wanted_by: dict[int, str] = {}
    for program, port in wanted:
        reader = f"{program} ({port.setting})"
        if port.number in wanted_by:
            complaints.append(
                f"port {port.number} is wanted by {wanted_by[port.number]} and by {reader}"
            )
        elif not is_free(port.number):
            complaints.append(
                f"port {port.number}, wanted by {reader}, is in use by {holder(port.number)}"
            )
        wanted_by[port.number] = reader
    if complaints:
        raise PortInUseError(
            "; ".join(complaints) + "; stop what holds it or set another port in the environment"
        )


def holder(port: int) -> str:
    """The process that listens on a port: id and command, if this user may see it."""
    inodes = _listening_inodes(port)
    for process in Path("/proc").glob("[0-9]*"):
        if inodes & _socket_inodes(process):
            return f"pid {process.name}: {command_line(int(process.name))[:80]}"
    return "a process of another user"


def _listening_inodes(port: int) -> set[str]:
    rows: Sequence[str] = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = [*rows, *Path(table).read_text().splitlines()[1:]]
        except OSError:
            continue
    fields = (row.split() for row in rows)
    listening = (row for row in fields if row[3] == _LISTEN_STATE)
    return {row[9] for row in listening if int(row[1].split(":")[1], 16) == port}


def _socket_inodes(process: Path) -> set[str]:
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:
        return set()
    links = (_target(descriptor) for descriptor in descriptors)
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""
