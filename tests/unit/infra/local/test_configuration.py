"""The files that are written: values in their places, and no data directory that cannot work."""

import configparser
import re
import shlex
from pathlib import Path

import pytest

from infra.local import configuration
from infra.local.configuration import TEMPLATES, launch_command, supervisor_configuration
from infra.local.errors import DataDirError
from infra.local.layout import UNIX_SOCKET_PATH_BYTES_MAX, Layout
from infra.local.programs import Program
from schemas.settings import Settings

LAYOUT = Layout(repo=Path("/srv/weir"), data_dir=Path("/srv/data"))
PROGRAM = Program(
    name="scorer",
    command=("python", "-m", "scoring.worker", "100%"),
    needs=("kafka=127.0.0.1:9092",),
    clean=(Path("/srv/data/tmp/scorer"),),
    environment={"PYTHONPATH": "/srv/a:/srv/b", "SHARE": "50%"},
)


def parsed(*programs: Program) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string(supervisor_configuration(LAYOUT, programs))
    return parser


def test_supervisor_reads_back_the_command_that_was_meant() -> None:
    command = parsed(PROGRAM)["program:scorer"]["command"]
    assert shlex.split(command) == list(launch_command(LAYOUT, PROGRAM))


def test_the_launcher_waits_and_cleans_before_the_command() -> None:
    command = launch_command(LAYOUT, PROGRAM)
    own = command.index("--")
    assert command[own + 1 :] == PROGRAM.command
    assert command[:own][-4:] == (
        *("--wait", "kafka=127.0.0.1:9092"),
        *("--clean", "/srv/data/tmp/scorer"),
    )


def test_percent_signs_and_colons_survive_in_the_environment() -> None:
    assert parsed(PROGRAM)["program:scorer"]["environment"] == (
        'PYTHONPATH="/srv/a:/srv/b",SHARE="50%"'
    )


def test_all_programs_are_one_group_so_that_the_end_is_quick() -> None:
    other = Program(name="api", command=("python",))
    assert parsed(PROGRAM, other)["group:weir"]["programs"] == "scorer,api"


def test_no_program_starts_by_itself_and_each_comes_back() -> None:
    section = parsed(PROGRAM)["program:scorer"]
    assert (section["autostart"], section["autorestart"]) == ("false", "true")


@pytest.mark.parametrize("over", [0, 1])
def test_a_data_dir_too_long_for_a_socket_is_refused(over: int) -> None:
    rest = len("/run/supervisor.sock")
    name = "x" * (UNIX_SOCKET_PATH_BYTES_MAX + over - rest - 1)
    layout = Layout(repo=Path("/srv"), data_dir=Path("/") / name)
    if over:
        with pytest.raises(DataDirError, match=r"WEIR_DATA_DIR .* is too long.*choose a shorter"):
            configuration.check_data_dir(layout)
    else:
        configuration.check_data_dir(layout)


@pytest.mark.parametrize("character", [" ", ";", '"', "$", "%", ":", "\n", "ü"])
def test_a_path_that_a_configuration_cannot_carry_is_refused(character: str) -> None:
    layout = Layout(repo=Path("/srv"), data_dir=Path(f"/srv/a{character}b"))
    with pytest.raises(DataDirError, match="choose another path"):
        configuration.check_data_dir(layout)


def test_every_value_of_a_template_is_given_and_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "shipped_java_options", lambda layout: "--add-opens=a")
    settings = Settings()
    given = {
        "server.properties": configuration.kafka_values(settings, LAYOUT),
        "redis.conf": configuration.redis_values(settings, LAYOUT),
        "flink-config.yaml": configuration.flink_values(settings, LAYOUT),
    }
    for name, values in given.items():
        wanted = set(re.findall(r"\$(\w+)", (TEMPLATES / name).read_text()))
        assert wanted == set(values), name


@pytest.mark.parametrize("name", ["server.properties", "redis.conf", "flink-config.yaml"])
def test_nothing_listens_beyond_this_machine(name: str) -> None:
    text = (TEMPLATES / name).read_text()
    assert "0.0.0.0" not in text
    assert "127.0.0.1" in text
