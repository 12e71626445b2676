import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from infra.cli.main import app

HANDBOOK = {
    "TRANSACTION_ID": [1],
    "TX_DATETIME": pa.array([1_522_540_800_000], pa.timestamp("ms")),
    "CUSTOMER_ID": [1],
    "TERMINAL_ID": [1],
    "TX_AMOUNT": [1.0],
    "TX_FRAUD": [0],
}


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table(HANDBOOK), path)
    return str(path)


def weir(*arguments: str, **settings: object) -> Result:
    environment = {name: str(value) for name, value in settings.items()}
    return CliRunner(env=environment).invoke(app, list(arguments))


def assert_one_line(result: Result, *parts: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output
    for part in parts:
        assert part in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["simulate", "--duration", "1"],
        ["simulate", "--history-days", "1"],
        ["replay", "TABLE", "--columns", "handbook"],
        ["export", "features", "TABLE.out"],
        ["decisions"],
        ["parity"],
    ],
    ids=lambda command: command[0],
)
def test_without_kafka_every_command_says_where_it_looked_and_what_to_do(
    command: list[str], closed_port: int, table: str
) -> None:
    arguments = [argument.replace("TABLE", table) for argument in command]
    result = weir(*arguments, WEIR_KAFKA_PORT=closed_port)
    assert_one_line(result, f"127.0.0.1:{closed_port}", "WEIR_KAFKA_BOOTSTRAP", "weir up")


def test_without_mlflow_models_list_says_where_it_looked(closed_port: int) -> None:
    result = weir("models", "list", WEIR_MLFLOW_PORT=closed_port)
    assert_one_line(result, str(closed_port), "WEIR_MLFLOW_TRACKING_URI", "weir up")


def test_without_the_api_predict_says_where_it_looked(closed_port: int) -> None:
    options = ["--user", "u", "--merchant", "m", "--amount-minor", "1"]
    result = weir("predict", *options, WEIR_API_PORT=closed_port)
    assert_one_line(result, str(closed_port), "WEIR_API_PORT", "weir up")


def test_a_setting_outside_its_limits_is_named(closed_port: int) -> None:
    result = weir("simulate", WEIR_KAFKA_PORT=99_999)
    assert_one_line(result, "WEIR_KAFKA_PORT", "65535")


def test_a_table_of_other_columns_is_refused_before_kafka_is_asked(
    closed_port: int, table: str
) -> None:
    result = weir("replay", table, "--columns", "weir", WEIR_KAFKA_PORT=closed_port)
    assert_one_line(result, "transaction_id", "--columns handbook")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--columns", "other"], "--columns other is unknown"),
        (["--columns", "handbook", "--from", "May"], "--from 'May' is not a date"),
        (["--columns", "handbook", "--from", "2019-01-01"], "no transactions in that range"),
        (["--speed", "2", "--as-fast-as-possible"], "exclude each other"),
    ],
)
def test_a_replay_that_cannot_be_says_why(options: list[str], part: str, table: str) -> None:
    assert_one_line(weir("replay", table, *options), part)


def test_an_unknown_kind_of_decision_is_refused() -> None:
    assert_one_line(weir("decisions", "--kind", "DENY"), "APPROVE, REVIEW, BLOCK")


@pytest.mark.parametrize(
    "command",
    [
        ["train"],
        ["train", "--days", "30"],
        ["train", "--from", "2026-10-01", "--until", "2026-11-01"],
        ["train", "--source", "log"],
        ["train", "--source", "archive"],
        ["dataset", "build", "--from", "2026-10-01", "--until", "2026-11-01"],
    ],
    ids=" ".join,
)
def test_an_mlflow_that_is_away_is_told_before_anything_is_read(
    command: list[str], closed_port: int, tmp_path: Path
) -> None:
    # Neither Kafka nor an archive is there: they would be missed next.
    result = weir(*command, WEIR_DATA_DIR=tmp_path, WEIR_MLFLOW_PORT=closed_port)
    assert_one_line(result, "MLflow does not answer", f"127.0.0.1:{closed_port}", "weir up")


def test_train_refuses_options_that_do_not_go_together(tmp_path: Path) -> None:
    result = weir("train", "--from", "2026-10-01", WEIR_DATA_DIR=tmp_path)
    assert_one_line(result, "--from and --until go together")
