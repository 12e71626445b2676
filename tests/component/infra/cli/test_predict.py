"""`weir predict` against an API that gives one fixed answer."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from typer.testing import CliRunner, Result

from infra.cli.main import app
from scoring.http.answers.predict import EXAMPLE

ANSWER = EXAMPLE.model_dump() | {"approximate": ["user_transaction_count_1h"]}
OPTIONS = ("--user", "u", "--merchant", "m", "--amount-minor", "1")


class FixedAnswer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def api_port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), FixedAnswer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def predict(api_port: int, *options: str) -> Result:
    environment = {"WEIR_API_PORT": str(api_port)}
    return CliRunner(env=environment).invoke(app, ["predict", *OPTIONS, *options])


def test_with_json_the_whole_answer_is_one_line(api_port: int) -> None:
    result = predict(api_port, "--json")
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    assert json.loads(result.stdout) == ANSWER


def test_without_json_the_outcome_its_reasons_and_what_is_not_exact_are_shown(
    api_port: int,
) -> None:
    result = predict(api_port)
    assert result.exit_code == 0
    outcome, reason, approximate = result.stdout.splitlines()
    assert outcome.startswith("APPROVE  0.031  ")
    assert reason == "  score 0.031 is not above 0.5"
    assert approximate == "  approximate: user_transaction_count_1h"
