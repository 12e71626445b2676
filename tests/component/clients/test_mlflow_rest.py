"""The MLflow client against a server that answers what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from clients.errors import ModelRegistryUnreachableError, ResponseTooLargeError
from clients.mlflow_rest import MlflowRest, ModelVersion, RegisteredModel

ENTRY = {
    "name": "weir-fraud",
    "version": "3",
    "run_id": "r3",
    "aliases": ["champion"],
    "tags": [{"key": "status", "value": "champion"}],
    "creation_timestamp": 1_700_000_000_000,
}
UNKNOWN = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such thing"}
"""What MLflow answers, with status 404, about something that does not exist."""
VERSION = ModelVersion(
    "weir-fraud", "3", "r3", ("champion",), {"status": "champion"}, 1_700_000_000_000
)


@dataclass
class FakeServer:
    """Answers by path; remembers what it was asked."""

    uri: str = ""
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    hangs: threading.Event = field(default_factory=threading.Event)

    def answer(self, path: str, body: Any, *, status: int = 200) -> None:
        self.answers[path] = (status, body)

    def client(self, **limits: Any) -> MlflowRest:
        return MlflowRest(self.uri, **{"timeout_s": 5.0, **limits})


@contextmanager
def serving() -> Iterator[FakeServer]:
    fake = FakeServer()
    end = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            parts = urlsplit(self.path)
            size = int(self.headers.get("Content-Length") or 0)
            given = json.loads(self.rfile.read(size)) if size else None
            query = {key: value for key, (value,) in parse_qs(parts.query).items()}
            path = parts.path.removeprefix("/api/2.0/mlflow/")
            fake.asked.append((self.command, path, given or query))
            if fake.hangs.is_set():
                end.wait(10)
                return
            status, body = fake.answers.get(path, (404, UNKNOWN))
            sent = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def do_GET(self) -> None:
            self.reply()

        def do_POST(self) -> None:
            self.reply()

        def do_DELETE(self) -> None:
            self.reply()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.uri = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        end.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


def test_an_alias_is_the_version_it_points_at(server: FakeServer) -> None:
    server.answer("registered-models/alias", {"model_version": ENTRY})
    assert server.client().get_alias(model="weir-fraud", alias="champion") == VERSION
    query = {"name": "weir-fraud", "alias": "champion"}
    assert server.asked == [("GET", "registered-models/alias", query)]


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, UNKNOWN), (400, {"message": "Registered model alias x not found."})],
)
def test_an_unknown_model_or_alias_is_no_version(
    server: FakeServer, status: int, body: dict[str, str]
) -> None:
    server.answer("registered-models/alias", body, status=status)
    assert server.client().get_alias(model="m", alias="x") is None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"message": "Invalid model name"}),
        (500, {"message": "database is locked"}),
        (503, b"<html>away</html>"),
        # Not MLflow: whatever answers there, it does not say that there is no champion.
        (404, b"<html>no such page</html>"),
        (404, {"message": "no such route"}),
        (400, {"message": "Invalid alias name"}),
        (200, b"<html>welcome</html>"),
        (200, {}),
        (200, []),
        (200, {"model_version": {"name": "m"}}),
        (200, {"model_version": {**ENTRY, "creation_timestamp": "long ago"}}),
    ],
)
def test_any_other_answer_is_an_outage_that_says_what_to_do(
    server: FakeServer, status: int, body: Any
) -> None:
    server.answer("registered-models/alias", body, status=status)
    with pytest.raises(ModelRegistryUnreachableError, match=r"WEIR_MLFLOW_TRACKING_URI.*weir up"):
        server.client().get_alias(model="m", alias="champion")


def test_an_alias_is_moved_and_removed_in_one_request_each(server: FakeServer) -> None:
    server.answer("registered-models/alias", {})
    server.client().set_alias(model="m", alias="champion", version="3")
    server.client().delete_alias(model="m", alias="challenger")
    path = "registered-models/alias"
    assert server.asked == [
        ("POST", path, {"name": "m", "alias": "champion", "version": "3"}),
        ("DELETE", path, {"name": "m", "alias": "challenger"}),
    ]


def test_a_refused_change_is_an_error(server: FakeServer) -> None:
    client = server.client()
    for change in (
        lambda: client.set_alias(model="m", alias="a", version="3"),
        lambda: client.delete_alias(model="m", alias="a"),
        lambda: client.set_tag(model="m", version="3", key="k", value="v"),
    ):
        with pytest.raises(ModelRegistryUnreachableError, match=r"404.*no such thing"):
            change()


def test_a_tag_is_set(server: FakeServer) -> None:
    server.answer("model-versions/set-tag", {})
    server.client().set_tag(model="m", version="3", key="status", value="archived")
    fields = {"name": "m", "version": "3", "key": "status", "value": "archived"}
    assert server.asked == [("POST", "model-versions/set-tag", fields)]


def test_one_version_is_read_and_an_unknown_one_is_none(server: FakeServer) -> None:
    server.answer("model-versions/get", {"model_version": ENTRY})
    assert server.client().get_version(model="weir-fraud", version="3") == VERSION
    for status, body in ((404, UNKNOWN), (400, {"message": "no"})):
        server.answer("model-versions/get", body, status=status)
        assert server.client().get_version(model="weir-fraud", version="x") is None
    server.answer("model-versions/get", {"message": "no such route"}, status=404)
    with pytest.raises(ModelRegistryUnreachableError, match="no such route"):
        server.client().get_version(model="weir-fraud", version="3")


def test_a_registered_model_has_aliases_and_tags(server: FakeServer) -> None:
    assert server.client().get_model(model="m") is None
    entry = {
        "aliases": [{"alias": "champion", "version": 9}],
        "tags": [{"key": "champion.00001", "value": "{}"}],
    }
    server.answer("registered-models/get", {"registered_model": entry})
    found = server.client().get_model(model="m")
    assert found == RegisteredModel({"champion": "9"}, {"champion.00001": "{}"})
    server.answer("registered-models/get", {"registered_model": {"name": "m"}})
    assert server.client().get_model(model="m") == RegisteredModel({}, {})
    server.answer("registered-models/get", {})
    with pytest.raises(ModelRegistryUnreachableError, match="names no model"):
        server.client().get_model(model="m")


def test_a_tag_of_a_model_is_set_and_removed(server: FakeServer) -> None:
    server.answer("registered-models/set-tag", {})
    server.answer("registered-models/delete-tag", {})
    server.client().set_model_tag(model="m", key="k", value="v")
    server.client().delete_model_tag(model="m", key="k")
    assert server.asked == [
        ("POST", "registered-models/set-tag", {"name": "m", "key": "k", "value": "v"}),
        ("DELETE", "registered-models/delete-tag", {"name": "m", "key": "k"}),
    ]


def test_a_search_gives_the_newest_first_with_the_aliases_of_the_model(server: FakeServer) -> None:
    def entry(number: int) -> dict[str, Any]:
        return {"name": "m", "version": str(number), "run_id": "r", "creation_timestamp": 0}

    aliases = [{"alias": "champion", "version": 9}, {"alias": "challenger", "version": "10"}]
    server.answer("registered-models/get", {"registered_model": {"aliases": aliases}})
    server.answer("model-versions/search", {"model_versions": [entry(9), entry(10), entry(1)]})
    found = server.client().search_versions(model="m")
    assert [(each.version, each.aliases) for each in found] == [
        ("10", ("challenger",)),
        ("9", ("champion",)),
        ("1", ()),
    ]
    assert server.asked[-1][2] == {"filter": "name='m'", "max_results": "1000"}


def test_a_model_that_does_not_exist_has_no_versions(server: FakeServer) -> None:
    assert server.client().search_versions(model="m") == []


def test_an_artifact_is_read_byte_for_byte(server: FakeServer) -> None:
    server.answer("/get-artifact", bytes(range(256)))
    content = server.client().artifact(run_id="r3", path="weir/trees of 1.onnx")
    assert content == bytes(range(256))
    asked = {"run_uuid": "r3", "path": "weir/trees of 1.onnx"}
    assert server.asked == [("GET", "/get-artifact", asked)]


def test_a_missing_artifact_is_none_and_a_failure_is_not(server: FakeServer) -> None:
    server.answer("/get-artifact", b"gone", status=404)
    assert server.client().artifact(run_id="r3", path="p") is None
    server.answer("/get-artifact", b"broken", status=500)
    with pytest.raises(ModelRegistryUnreachableError, match="status 500 for artifact p"):
        server.client().artifact(run_id="r3", path="p")


@pytest.mark.parametrize(("size", "is_read"), [(99, True), (100, True), (101, False)])
def test_an_artifact_over_the_limit_is_refused(
    server: FakeServer, size: int, is_read: bool
) -> None:
    server.answer("/get-artifact", b"x" * size)
    client = server.client(artifact_bytes_max=100)
    if is_read:
        assert client.artifact(run_id="r3", path="p") == b"x" * size
    else:
        with pytest.raises(ResponseTooLargeError, match="more than 100 bytes"):
            client.artifact(run_id="r3", path="p")


def test_a_server_that_is_there_is_reachable(server: FakeServer) -> None:
    server.answer("/health", b"OK")
    server.client().check_reachable()
    server.answer("/health", b"starting", status=503)
    with pytest.raises(ModelRegistryUnreachableError, match="status 503 for /health"):
        server.client().check_reachable()


def test_a_server_that_hangs_is_given_up(server: FakeServer) -> None:
    server.hangs.set()
    with pytest.raises(ModelRegistryUnreachableError, match=r"time limit 0\.2 s"):
        server.client(timeout_s=0.2).get_alias(model="m", alias="champion")


def test_nobody_at_the_address_is_an_outage() -> None:
    with pytest.raises(ModelRegistryUnreachableError, match=r"127\.0\.0\.1:1 .*weir up"):
        MlflowRest("http://127.0.0.1:1").check_reachable()


def test_a_path_of_the_address_is_kept(server: FakeServer) -> None:
    server.answer("/mlflow/health", b"OK")
    MlflowRest(f"{server.uri}/mlflow/").check_reachable()


@pytest.mark.parametrize("uri", ["", "localhost:5000", "sqlite:///x", "http://"])
def test_an_address_that_is_no_server_is_refused_at_start(uri: str) -> None:
    with pytest.raises(ValueError, match="mlflow_tracking_uri"):
        MlflowRest(uri)
