"""The commands that the DAGs for Airflow call are commands that there are.

Airflow itself parses them in an environment of its own, where `weir` is not: `make dags`.
"""

import ast

import pytest
from typer.main import get_command

from infra.cli.main import app
from infra.local.layout import REPO

DAGS = REPO / "infra" / "airflow"


def commands() -> list[list[str]]:
    """What follows the command's name in each f-string that begins with it."""
    found = [
        "".join(part.value for part in node.values if isinstance(part, ast.Constant)).split()
        for dag in sorted(DAGS.glob("*.py"))
        for node in ast.walk(ast.parse(dag.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr) and ast.unparse(node).startswith("f'{WEIR} ")
    ]
    assert len(found) == 3
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_of_a_dag_exists_with_its_options(words: list[str]) -> None:
    command = get_command(app)
    while words and not words[0].startswith("-"):
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands")
    options = {option for param in command.loaded().params for option in param.opts}
    # The DAGs of further models add the option that names one.
    assert {"--model", *(word.partition("=")[0] for word in words if word[0] == "-")} <= options
