"""Nothing makes a version the champion but `operations/promotion.py`, which asks parity first.

Two halves. The code: who may make the evidence, move the alias and call the promotion. The ways in:
every program, command and DAG; one that reaches the promotion must be listed here with the test
that tries it on a feature log with a wrong value.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import chain

import pytest

from infra.cli.main import COMMANDS
from tests.house import texts

PROMOTION = "operations/promotion.py"
RULES = "training/registry/versions.py"
CLIENT = "clients/mlflow_rest.py"

TRIED_IN = "tests/integration/test_promotion_gate.py"
EXAMPLES_TRIED_IN = ("tests/integration/test_recommendation.py", "tests/integration/test_churn.py")
"""For ways whose features are not those of the logs."""
WAYS_TO_THE_CHAMPION = {
    "weir train": ("infra/cli/training.py", "test_weir_train", "test_weir_train_every"),
    "weir models promote": ("infra/cli/promote.py", "test_weir_models_promote"),
    "weir rollout promote": ("infra/cli/rollout_promote.py", "test_weir_rollout_promote"),
    "weir demo": ("infra/cli/demo.py", "test_the_demo"),
    "operations/rollouts/controller/__main__.py": (
        "operations/rollouts/controller/acting.py",
        "test_the_rollout_controller",
    ),
    "infra/airflow/weir_training.py": (
        "infra/airflow/weir_training.py",
        "test_the_dag_for_airflow",
    ),
    "examples/churn/__main__.py": (
        "examples/churn/steps.py",
        "test_a_value_that_differs_keeps_a_version_from_being_the_champion",
    ),
    "examples/recommendation/__main__.py": (
        "examples/recommendation/training.py",
        "test_the_recommendation_example",
    ),
    "tests/bench/__main__.py": ("tests/bench/bench_stack.py", "test_the_bench"),
}
"""Program or command to the module that reaches the promotion, and the tests that try it."""

PROGRAMS = {
    "examples/churn/__main__.py": "trains churn, scores it in bulk and asks the API",
    "examples/recommendation/__main__.py": "makes candidates and a ranker, and evaluates them",
    "infra/cli/main.py": "the command `weir`; its commands are listed one by one",
    "infra/local/class_archives.py": "saves the classes of a JVM",
    "infra/local/launch.py": "starts a program of the stack",
    "infra/local/mlflow_server.py": "runs MLflow's server",
    "infra/rooms.py": "draws the rooms and their imports",
    "operations/labels/checker.py": "corrects labels that name the wrong merchant",
    "operations/rollouts/controller/__main__.py": "counts, judges and moves rollouts",
    "schemas/json_schema.py": "writes the JSON Schemas",
    "scoring/http/__main__.py": "runs the API",
    "scoring/worker/__main__.py": "runs the scorer",
    "streams/backfill/job.py": "folds the archive on Flink",
    "streams/batch_features/job.py": "runs the queries of batch features on Flink",
    "streams/batch_scoring/job.py": "scores parts of a batch scoring on Flink",
    "streams/velocity/keep_running.py": "keeps the velocity job running",
    "streams/velocity/submit.py": "submits the velocity job",
    "training/archive/archiver.py": "archives the logs",
    "training/datasets/materializer.py": "puts batch features into Redis",
}
"""Every module of the product that runs as a program, and what it does."""


ONLY_BATCH = {'bash_command=f"{WEIR}', "batch", "score"}
"""Words of a DAG whose command is `weir batch score`, which is among the ways that are checked."""


@cache
def modules() -> dict[str, ast.Module]:
    """Every Python file outside the tests, and the bench, which trains a model, too."""
    names = [
        name
        for name in texts.files()
        if name.endswith(".py") and (not name.startswith("tests/") or "/bench/" in name)
    ]
    return {name: ast.parse(texts.read(name)) for name in names}


def where(kind: type[ast.AST], matches: object) -> set[str]:
    """The files that have a node of a kind for which a function says yes."""
    return {
        name
        for name, tree in modules().items()
        if any(isinstance(node, kind) and matches(node) for node in ast.walk(tree))
    }


def is_call_of(name: str) -> object:
    def matches(node: ast.Call) -> bool:
        function = node.func
        called = function.attr if isinstance(function, ast.Attribute) else None
        return name == (function.id if isinstance(function, ast.Name) else called)

    return matches


def is_method_call(name: str) -> object:
    return lambda node: isinstance(node.func, ast.Attribute) and node.func.attr == name


# --- the code ----------------------------------------------------------------------------


def test_only_the_gate_makes_the_evidence() -> None:
    assert where(ast.Call, is_call_of("PassedGate")) == {PROMOTION}
    copies = where(ast.Call, is_call_of("replace")) & where(
        ast.Name, lambda node: node.id == "PassedGate"
    )
    assert copies == set()


def test_only_the_promotion_calls_the_rule_that_promotes() -> None:
    assert where(ast.Call, is_method_call("promote")) == {PROMOTION}
    named = where(ast.Attribute, lambda node: node.attr == "promote")
    assert named == {PROMOTION}, "not even as a value that somebody calls later"


def test_only_the_rules_move_an_alias_and_only_the_client_knows_how() -> None:
    assert where(ast.Call, is_method_call("set_alias")) == {RULES}
    assert where(
        ast.Constant, lambda node: str(node.value).endswith("registered-models/alias")
    ) == {CLIENT}
    of_mlflow = {"set_registered_model_alias", "transition_model_version_stage"}
    assert where(ast.Attribute, lambda node: node.attr in of_mlflow) == set()


def test_the_alias_of_the_champion_moves_by_promotion_and_rollback_alone() -> None:
    movers = {
        function.name
        for function in ast.walk(modules()[RULES])
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and any(
            isinstance(part, ast.Attribute) and part.attr == "_champion_alias"
            for part in chain(node.args, (word.value for word in node.keywords))
        )
        and not is_method_call("get_alias")(node)
    }
    assert movers == {"promote", "roll_back"}


def test_a_rollback_returns_only_to_a_version_that_passed_the_gate() -> None:
    """The rule reads a tag that says so, and only a promotion, which has the evidence, sets it."""
    named = where(ast.Name, lambda node: node.id == "TAG_PARITY")
    said = where(ast.Constant, lambda node: node.value == "parity_values_checked")
    assert named | said == {RULES}
    writers = {
        function.name
        for function in ast.walk(modules()[RULES])
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Dict)
        and any(isinstance(key, ast.Name) and key.id == "TAG_PARITY" for key in node.keys)
    }
    assert writers == {"promote"}


def test_no_text_offers_a_way_around_parity() -> None:
    offered = [
        name
        for name in texts.files()
        if not name.startswith("tests/")
        and name.endswith((".py", ".md", ".sh", ".yaml", "Makefile", "run"))
        and re.search(r"skip.parity", texts.read(name))
    ]
    # It says that the option is gone.
    assert offered in ([], ["CHANGELOG.md"])


# --- the ways in -------------------------------------------------------------------------


def imports_of(name: str) -> set[str]:
    """The files that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    paths = {module.replace(".", "/") for module in found}
    names = {f"{path}.py" for path in paths} | {f"{path}/__init__.py" for path in paths}
    return names & modules().keys()


def reaches(name: str) -> set[str]:
    """A file and everything that it imports, directly or not."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting += imports_of(one)
    return seen


def is_program(name: str) -> bool:
    if name.endswith("__main__.py"):
        return True
    return any(
        isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
        for node in modules()[name].body
    )


def ways_in() -> Iterator[tuple[str, str]]:
    """Every program, command and DAG, and the file where it begins."""
    for name in modules():
        if is_program(name) and name != "infra/cli/main.py":
            yield name, name
        if name.startswith("infra/airflow/"):
            yield name, name
    for name, (place, _) in COMMANDS.items():
        yield f"weir {name}", place.partition(":")[0].replace(".", "/") + ".py"


def test_every_program_of_the_product_is_listed() -> None:
    found = {name for name in modules() if is_program(name) and not name.startswith("tests/")}
    assert found == PROGRAMS.keys(), "say what it does; if it can promote, test it in " + TRIED_IN


def test_weir_is_the_only_command_that_is_installed() -> None:
    project = tomllib.loads(texts.read("pyproject.toml"))["project"]
    assert project["scripts"] == {"weir": "infra.cli.main:app"}
    assert not {"entry-points", "gui-scripts"} & project.keys()


def test_every_way_that_reaches_the_promotion_is_tried() -> None:
    dags = {name for name in modules() if name.startswith("infra/airflow/")}
    starts_weir = {name for name in dags if not set(texts.read(name).split()) >= ONLY_BATCH}
    found = {way for way, start in ways_in() if PROMOTION in reaches(start) or start in starts_weir}
    assert found == WAYS_TO_THE_CHAMPION.keys(), f"test the new way in {TRIED_IN} and list it here"


@pytest.mark.parametrize("way", WAYS_TO_THE_CHAMPION)
def test_a_way_has_its_tests(way: str) -> None:
    module, *tests = WAYS_TO_THE_CHAMPION[way]
    assert module in modules()
    tried = "".join(map(texts.read, (TRIED_IN, *EXAMPLES_TRIED_IN)))
    assert all(f"def {test}(" in tried for test in tests)


def test_a_new_way_would_be_noticed() -> None:
    assert PROMOTION in reaches("infra/demo/run.py")
    assert PROMOTION not in reaches("infra/cli/models.py")
    assert "operations/parity/run.py" in reaches("infra/cli/parity.py")
