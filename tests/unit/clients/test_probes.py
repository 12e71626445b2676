"""Probes against small servers that answer well, wrongly, or not at all."""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from clients import probes as readiness

NOBODY = "127.0.0.1:1"


@contextmanager
def answering(reply: bytes | Callable[[bytes], bytes]) -> Iterator[str]:
    """A server that reads once from each connection and sends the reply."""

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                request = connection.recv(65_536)
                connection.sendall(reply(request) if callable(reply) else reply)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def http(body: object, *, status: str = "200 OK") -> bytes:
    text = json.dumps(body).encode()
    return (
        f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode()
        + text
    )


def api_versions(*, error_code: int) -> Callable[[bytes], bytes]:
    def reply(request: bytes) -> bytes:
        correlation_id = struct.unpack(">i", request[8:12])[0]
        return struct.pack(">iihi", 10, correlation_id, error_code, 0)

    return reply


@pytest.mark.parametrize(("error_code", "ready"), [(0, True), (35, False)])
def test_a_broker_is_ready_when_it_answers_without_an_error(error_code: int, ready: bool) -> None:
    with answering(api_versions(error_code=error_code)) as address:
        assert readiness.kafka_answers(address) is ready


def described_group(request: bytes, *, state: bytes, error_code: int = 0) -> bytes:
    (name_length,) = struct.unpack(">h", request[22:24])
    name = request[24 : 24 + name_length]
    body = request[8:12] + struct.pack(">ihh", 1, error_code, name_length) + name
    body += struct.pack(">h", len(state)) + state + b"and its members"
    return struct.pack(">i", len(body)) + body


@pytest.mark.parametrize(
    ("state", "error_code", "ready"),
    [(b"Stable", 0, True), (b"PreparingRebalance", 0, False), (b"Stable", 15, False)],
)
def test_a_group_is_ready_when_its_members_have_their_partitions(
    state: bytes, error_code: int, ready: bool
) -> None:
    def reply(request: bytes) -> bytes:
        return described_group(request, state=state, error_code=error_code)

    with answering(reply) as address:
        assert readiness.is_ready(f"group=scorers@{address}") is ready


def test_a_question_is_asked_with_its_query() -> None:
    def reply(request: bytes) -> bytes:
        return http(request.decode().split(" ")[1])

    with answering(reply) as address:
        assert readiness.get_json(f"http://{address}/jobs?of=all") == "/jobs?of=all"


def test_a_redis_that_loads_its_file_is_not_ready() -> None:
    with answering(b"+PONG\r\n") as address:
        assert readiness.redis_answers(address)
    with answering(b"-LOADING Redis is loading the dataset in memory\r\n") as address:
        assert not readiness.redis_answers(address)


@pytest.mark.parametrize("target", sorted(readiness.PROBES))
def test_a_service_that_is_not_there_is_not_ready(target: str) -> None:
    address = NOBODY if target in ("kafka", "redis") else f"http://{NOBODY}"
    assert not readiness.is_ready(f"{target}={address}")


@pytest.mark.parametrize("target", sorted(readiness.PROBES))
def test_a_server_that_hangs_up_is_not_ready(target: str) -> None:
    with answering(b"") as address:
        prefix = "" if target in ("kafka", "redis") else "http://"
        assert not readiness.is_ready(f"{target}={prefix}{address}")


@pytest.mark.parametrize("target", ["kafka", "kafka=", "mysql=127.0.0.1:1", ""])
def test_a_target_that_names_no_probe_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="no such target"):
        readiness.is_ready(target)


def test_http_is_ready_with_status_200_only() -> None:
    with answering(http({})) as address:
        assert readiness.http_answers(f"http://{address}/health")
    with answering(http({}, status="503 Service Unavailable")) as address:
        assert not readiness.http_answers(f"http://{address}/health")


@pytest.mark.parametrize(("task_managers", "ready"), [(0, False), (1, True)])
def test_flink_is_ready_with_a_task_manager(task_managers: int, ready: bool) -> None:
    with answering(http({"taskmanagers": task_managers})) as address:
        assert readiness.flink_has_task_manager(f"http://{address}") is ready


def job(name: str, state: str, *, running: int) -> dict[str, object]:
    return {"name": name, "state": state, "tasks": {"running": running, "total": 3}}


def test_a_job_runs_when_all_of_its_tasks_do() -> None:
    jobs = [job("a", "RUNNING", running=2), job("b", "RUNNING", running=3)]
    jobs.append(job("c", "FAILED", running=0))
    with answering(http({"jobs": jobs})) as address:
        assert readiness.flink_running_jobs(f"http://{address}") == ["b"]


def test_an_answer_that_is_no_json_is_no_answer() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{") as address:
        assert readiness.get_json(f"http://{address}") is None


def test_waiting_asks_until_the_answer_is_yes() -> None:
    answers = iter([False, False, True])
    assert readiness.wait_until(lambda: next(answers), timeout_s=60)
    assert list(answers) == []


def test_waiting_has_an_end() -> None:
    asked: list[None] = []
    assert not readiness.wait_until(lambda: bool(asked.append(None)), timeout_s=0)
    assert asked
