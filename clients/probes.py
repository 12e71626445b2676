"""Probes: whether a service answers, asked over its own protocol with the standard library only.

The launcher probes a service before it starts a program that needs it, the local stack before it
reports "up", and the doctor for its report. A probe of a service that is down returns False; it
does not raise.
"""

import http.client
import json
import socket
import struct
import time
from collections.abc import Callable, Container
from typing import Any
from urllib.parse import urlsplit

PROBE_TIMEOUT_S = 2.0
_POLL_INTERVAL_S = 0.1
_API_VERSIONS_KEY = 18
_DESCRIBE_GROUPS_KEY = 15
_STABLE = b"Stable"
_REPLY_BYTES_MAX = 65_536


def kafka_answers(address: str) -> bool:
    """Whether the broker at ``host:port`` answers an ApiVersions request without an error.

    A broker opens its port only after the controller has registered it, so topics can be created.
    """
    try:
        reply = _ask_kafka(address, _API_VERSIONS_KEY, b"")
    except OSError:
        return False
    return reply[:2] == b"\x00\x00"


def kafka_group_is_stable(group_at_address: str) -> bool:
    """Whether a consumer group, ``name@host:port``, is stable: all members have their partitions.

    Asks the broker at the address, which must be the coordinator of the group; with a single broker
    it is. A member that was killed counts until its session times out.
    """
    group, _, address = group_at_address.rpartition("@")
    name = group.encode()
    try:
        reply = _ask_kafka(address, _DESCRIBE_GROUPS_KEY, struct.pack(">ih", 1, len(name)) + name)
        # One group: error code, name, state; each text is preceded by its length.
        error_code, name_length = struct.unpack_from(">4xhh", reply)
        (state_length,) = struct.unpack_from(">h", reply, 8 + name_length)
    except (OSError, struct.error):
        return False
    state_at = 10 + name_length
    return error_code == 0 and reply[state_at : state_at + state_length] == _STABLE


def redis_answers(address: str) -> bool:
    """Whether the Redis at ``host:port`` answers PING; it does not while it loads its data."""
    try:
        return _exchange(address, b"PING\r\n", reply_bytes=7) == b"+PONG\r\n"
    except OSError:
        return False


def postgres_answers(address: str) -> bool:
    """Whether the PostgreSQL at ``host:port`` accepts sessions; it does not while it recovers.

    Asks for a session of a user that need not exist: the server then asks for a password.
    """
    content = struct.pack(">i", 3 << 16) + b"user\0weir\0database\0weir\0\0"
    try:
        reply = _exchange(address, struct.pack(">i", 4 + len(content)) + content, reply_bytes=1)
    except OSError:
        return False
    return reply == b"R"


def http_answers(url: str) -> bool:
    """Whether ``GET url`` gives status 200."""
    return _get(url)[0] == http.client.OK


def get_json(url: str, *, statuses: Container[int] = (http.client.OK,)) -> Any:
    """The decoded JSON of ``GET url``; None without an answer, or if it has another status."""
    status, body = _get(url)
    if status not in statuses:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return None


def get_text(url: str) -> str | None:
    """The text of ``GET url``; None without an answer, or if its status is not 200."""
    status, body = _get(url)
    return body.decode(errors="replace") if status == http.client.OK else None


def flink_has_task_manager(rest_url: str) -> bool:
    """Whether the JobManager answers and at least one TaskManager has registered."""
    overview = get_json(f"{rest_url}/overview")
    return overview is not None and overview["taskmanagers"] > 0


def flink_running_jobs(rest_url: str) -> list[str]:
    """Names of the jobs whose tasks all run."""
    overview = get_json(f"{rest_url}/jobs/overview") or {"jobs": []}
    return [
        job["name"]
        for job in overview["jobs"]
        if job["state"] == "RUNNING" and job["tasks"]["running"] == job["tasks"]["total"]
    ]


PROBES: dict[str, Callable[[str], bool]] = {
    "kafka": kafka_answers,
    "group": kafka_group_is_stable,
    "redis": redis_answers,
    "postgres": postgres_answers,
    "http": http_answers,
    "flink": flink_has_task_manager,
    "job": lambda rest_url: bool(flink_running_jobs(rest_url)),
}
"""Probe name to probe. A *target* is written ``name=address``, e.g. ``kafka=127.0.0.1:9092``."""


def is_ready(target: str) -> bool:
    """Whether the service of a target ``name=address`` answers now.

    Raises:
        ValueError: the target names no probe.
    """
    name, _, address = target.partition("=")
    if name not in PROBES or not address:
        raise ValueError(
            f"no such target {target!r}; write PROBE=ADDRESS, PROBE one of {sorted(PROBES)}"
        )
    return PROBES[name](address)


def wait_until(condition: Callable[[], bool], *, timeout_s: float) -> bool:
    """Check until the condition holds; False if it does not within ``timeout_s``."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(_POLL_INTERVAL_S)
    return True


def _ask_kafka(address: str, api_key: int, body: bytes) -> bytes:
    """Send version 0 of a request; give the reply without its header."""
    client_id = b"weir"
    header = struct.pack(">hhih", api_key, 0, 1, len(client_id)) + client_id
    request = struct.pack(">i", len(header) + len(body)) + header + body
    with _connected(address) as connection:
        connection.sendall(request)
        (size,) = struct.unpack(">i", _received(connection, 4))
        reply = _received(connection, min(size, _REPLY_BYTES_MAX))
    if reply[:4] != b"\x00\x00\x00\x01":
        raise ConnectionError(f"{address} answers with the id of another request")
    return reply[4:]


def _exchange(address: str, request: bytes, *, reply_bytes: int) -> bytes:
    with _connected(address) as connection:
        connection.sendall(request)
        return _received(connection, reply_bytes)


def _connected(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=PROBE_TIMEOUT_S)


def _received(connection: socket.socket, size: int) -> bytes:
    reply = b""
    while len(reply) < size:
        part = connection.recv(size - len(reply))
        if not part:
            raise ConnectionError("the service closed the connection")
        reply += part
    return reply


def _get(url: str) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=PROBE_TIMEOUT_S
    )
    try:
        query = f"?{parts.query}" if parts.query else ""
        connection.request("GET", (parts.path or "/") + query)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
