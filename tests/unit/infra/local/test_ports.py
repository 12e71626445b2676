"""Free ports are found, and ports in use are named with their holders."""

import os
import socket

import pytest

from infra.local import ports
from infra.local.errors import PortInUseError
from infra.local.ports import check_ports
from infra.local.programs import Port


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
    assert ports.is_free(port)


def test_free_ports_are_distinct_and_leave_room_for_their_successors() -> None:
    found = ports.free_ports(5)
    both = [*found, *(port + 1 for port in found)]
    assert len(set(both)) == 10
    assert all(ports.FREE_PORT_MIN <= port <= ports.FREE_PORT_MAX for port in found)


def test_every_port_in_use_is_named_with_program_setting_and_holder() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        taken = [server.getsockname()[1] for server in (one, two)]
        wanted = [("kafka", Port(taken[0], "WEIR_A")), ("redis", Port(taken[1], "WEIR_B"))]
        with pytest.raises(PortInUseError) as refusal:
            check_ports(wanted)
    said = str(refusal.value)
    assert f"port {taken[0]}, wanted by kafka (WEIR_A), is in use by pid {os.getpid()}" in said
    assert f"port {taken[1]}, wanted by redis (WEIR_B), is in use by pid {os.getpid()}" in said


def test_one_port_for_two_programs_is_refused() -> None:
    port = ports.free_ports(1)[0]
    with pytest.raises(PortInUseError, match=r"wanted by kafka \(WEIR_A\) and by redis \(WEIR_B\)"):
        check_ports([("kafka", Port(port, "WEIR_A")), ("redis", Port(port, "WEIR_B"))])


def test_free_ports_are_no_complaint() -> None:
    check_ports([("kafka", Port(ports.free_ports(1)[0], "WEIR_A"))])
