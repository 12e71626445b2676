"""The table of commands says what the commands say, and importing it imports none of them."""

import subprocess
import sys
from importlib import import_module

import pytest

from infra.cli.main import COMMANDS, GROUPS

HEAVY = ("confluent_kafka", "deltalake", "feast", "kafka", "mlflow", "pandas", "pyarrow", "sklearn")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_summary_is_the_first_line_of_its_docstring(name: str) -> None:
    place, summary = COMMANDS[name]
    module, _, function = place.partition(":")
    text = getattr(import_module(module), function).__doc__
    assert text.splitlines()[0] == summary


def test_every_group_has_commands_and_every_command_of_two_words_a_group() -> None:
    assert {name.split()[0] for name in COMMANDS if " " in name} == set(GROUPS)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["models", "--help"]], ids=" ".join)
def test_no_command_is_imported_before_it_runs(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from infra.cli.main import app\n"
        "try:\n"
        f"    app({arguments!r})\n"
        "except SystemExit:\n"
        "    pass\n"
        f"print('imported', sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "imported []\n"
    assert "Usage" in done.stdout


def test_a_rollback_is_fast_because_mlflow_and_parity_are_not_imported() -> None:
    code = (
        f"import sys\nimport infra.cli.models\nprint(sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
