"""Rules for the source that no linter checks, each with what to do instead.

A rule is a function from a source file to its breaches. An exception to a rule is an entry in a
list below, with its reason; an entry that is no longer needed fails too.
"""

import ast
import functools
import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.house import texts
from tests.house.pages import REPO, ROOMS

FILE_LINES_MAX = 400
FILE_LINES_MEDIAN_MAX = 130
FUNCTION_LINES_MAX = 60
COMMENT_LINES_MAX = 8

FORBIDDEN_MODULE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
CLOCK_CALLS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today"}
TEXT_SUFFIXES = {
    *(".py", ".md", ".toml", ".txt", ".xml", ".yaml", ".yml", ".json", ".java", ".sh", ".conf"),
    *(".properties", ".html", ".cfg", ".ini", ""),
}

# Modules that may ask a clock; all others get the time as an argument.
MAY_ASK_A_CLOCK = {
    "examples/recommendation/__main__.py": "an entry point: when a night begins",
    "infra/simulation/clock.py": "is the clock that the generator is handed",
    "infra/simulation/run_watch.py": "measures when a decision arrived at the command line",
    "scoring/embedded/scorer.py": "an entry point: the clock of the user's process",
    "scoring/wiring.py": "builds the real parts of the scorer, its clock among them",
    "training/registry/versions.py": "its log of champions says when each change was",
    "operations/labels/checker.py": "an entry point: when it corrected a label",
    "infra/cli/api_key.py": "an entry point: when a key was made",
    "training/datasets/materializer.py": "an entry point: the clock says which midnight has passed",
    "streams/velocity/operators.py": "the JVM calls it, so it is an entry point",
}
# Main loops, which log an unexpected error and end.
MAY_CATCH_EVERYTHING = {
    "infra/simulation/live_run.py": "a thread's end: raised again where the thread is waited for",
    "infra/simulation/run_watch.py": "a thread's end: raised again where the thread is waited for",
    "scoring/core/ad_hoc.py": "a model that fails: logged, and the heuristic decides and says so",
    "scoring/worker/app.py": "the main loop: Faust would acknowledge the event, so it ends",
    "scoring/worker/shadow.py": "a version on trial in the shadow must not stop the scorer",
}
# Functions that are long for a reason, as path:name.
MAY_HAVE_A_LONG_FUNCTION: dict[str, str] = {}


@dataclass(frozen=True)
class Source:
    """One Python file: where it is, its text, its syntax tree."""

    path: str
    text: str
    tree: ast.Module


@functools.cache
def sources(*folders: str) -> list[Source]:
    files = sorted(path for folder in folders for path in (REPO / folder).rglob("*.py"))
    texts = [(path, path.read_text(encoding="utf-8")) for path in files]
    return [Source(str(path.relative_to(REPO)), text, ast.parse(text)) for path, text in texts]


def forbidden_names(source: Source) -> Iterator[str]:
    """Name a module for the noun it owns."""
    if Path(source.path).stem in FORBIDDEN_MODULE_NAMES:
        yield source.path


def missing_docstrings(source: Source) -> Iterator[str]:
    """Say in three to six lines what the module owns, what it does not know, and who calls it."""
    if not ast.get_docstring(source.tree):
        yield source.path


def long_files(source: Source) -> Iterator[str]:
    """Split the file along its nouns."""
    lines = source.text.count("\n")
    if lines > FILE_LINES_MAX:
        yield f"{source.path} ({lines} lines, limit {FILE_LINES_MAX})"


def long_functions(source: Source) -> Iterator[str]:
    """Move parts of the function into functions of their own."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = _code_lines(node)
            if lines > FUNCTION_LINES_MAX:
                yield f"{source.path}:{node.name} ({lines} lines, limit {FUNCTION_LINES_MAX})"


def clocks(source: Source) -> Iterator[str]:
    """Take the time as an argument, `now_ms` or `as_of_ms`; only entry points ask a clock."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and _dotted(node.func) in CLOCK_CALLS:
            yield f"{source.path}:{node.lineno} {_dotted(node.func)}"


def blind_excepts(source: Source) -> Iterator[str]:
    """Catch named exceptions, turn them into one of the three kinds of error, or raise again."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ExceptHandler) or not _catches_everything(node):
            continue
        if not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
            yield f"{source.path}:{node.lineno}"


def long_comments(source: Source) -> Iterator[str]:
    """Move the comment to `docs/` or to a decision record and link to it."""
    run = 0
    for number, line in enumerate(source.text.splitlines(), start=1):
        run = run + 1 if line.lstrip().startswith("#") else 0
        if run == COMMENT_LINES_MAX + 1:
            yield f"{source.path}:{number} (more than {COMMENT_LINES_MAX} comment lines)"


def unnumbered_todos(source: Source) -> Iterator[str]:
    """File an issue and write its number: TODO(#12)."""
    for number, line in enumerate(source.text.splitlines(), start=1):
        if re.search(r"\b(TODO|FIXME|XXX)\b(?!\(#\d+\))", line):
            yield f"{source.path}:{number} {line.strip()}"


RULES: list[tuple[Callable[[Source], Iterator[str]], dict[str, str]]] = [
    (forbidden_names, {}),
    (missing_docstrings, {}),
    (long_files, {}),
    (long_functions, MAY_HAVE_A_LONG_FUNCTION),
    (clocks, MAY_ASK_A_CLOCK),
    (blind_excepts, MAY_CATCH_EVERYTHING),
    (long_comments, {}),
    (unnumbered_todos, {}),
]


@pytest.mark.parametrize(
    ("rule", "exceptions"), RULES, ids=lambda part: getattr(part, "__name__", "")
)
def test_sources_keep_the_rule(
    rule: Callable[[Source], Iterator[str]], exceptions: dict[str, str]
) -> None:
    breaches = [breach for source in sources(*ROOMS) for breach in rule(source)]
    unexcused = [
        breach for breach in breaches if not any(breach.startswith(known) for known in exceptions)
    ]
    stale = [
        known for known in exceptions if not any(breach.startswith(known) for breach in breaches)
    ]
    assert not unexcused, f"{rule.__doc__}\n" + "\n".join(unexcused)
    assert not stale, f"no longer needed as exceptions to {rule.__name__}: {stale}"


def test_no_test_file_is_too_long() -> None:
    breaches = [breach for source in sources("tests") for breach in long_files(source)]
    assert not breaches, f"{long_files.__doc__}\n" + "\n".join(breaches)


def median_lines(files: list[Source]) -> float:
    """Median of the lines of modules; an `__init__.py` holds a docstring and does not count."""
    modules = [source for source in files if not source.path.endswith("__init__.py")]
    return statistics.median(source.text.count("\n") for source in modules)


def test_the_median_file_is_short() -> None:
    median = median_lines(sources(*ROOMS))
    assert median <= FILE_LINES_MEDIAN_MAX, (
        f"the median file of the rooms has {median} lines, limit {FILE_LINES_MEDIAN_MAX}: "
        "split files along their nouns"
    )


def test_the_median_is_that_of_modules() -> None:
    tree = ast.parse("")
    lines = {"features/__init__.py": 1, "features/a.py": 10, "features/b.py": 200}
    files = [Source(path, "x = 1\n" * count, tree) for path, count in lines.items()]
    assert median_lines(files) == 105


# Each rule has to find its breach, or a test without findings proves nothing.
BREACHES = {
    forbidden_names: ("features/utils.py", '"""D."""'),
    missing_docstrings: ("features/engine/state.py", "x = 1"),
    long_files: ("features/engine/state.py", "x = 1\n" * (FILE_LINES_MAX + 1)),
    long_functions: (
        "features/engine/state.py",
        "def f():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX + 1),
    ),
    clocks: ("features/engine/state.py", "import time\nnow = time.time()"),
    blind_excepts: ("features/engine/state.py", "try:\n    x = 1\nexcept Exception:\n    pass"),
    long_comments: ("features/engine/state.py", "# a\n" * (COMMENT_LINES_MAX + 1)),
    unnumbered_todos: ("features/engine/state.py", "x = 1  # " + "TODO later"),
}


@pytest.mark.parametrize("rule", [rule for rule, _ in RULES], ids=lambda rule: rule.__name__)
def test_every_rule_finds_its_breach(rule: Callable[[Source], Iterator[str]]) -> None:
    path, text = BREACHES[rule]
    assert list(rule(Source(path, text, ast.parse(text))))


UNWANTED_TEXT = {
    "the path of somebody's machine": r"/root/|/home/\w|/work/|/Users/",
    "the host name of a package registry": (
        r"pypi\.org|pythonhosted\.org|repo1?\.maven|registry\.npmjs|deb\.debian\.org|docker\.io"
    ),
}


@pytest.mark.parametrize("what", UNWANTED_TEXT)
def test_no_file_contains(what: str) -> None:
    pattern = re.compile(UNWANTED_TEXT[what])
    found = [
        f"{name}:{number} {line.strip()[:80]}"
        for name in text_files()
        for number, line in enumerate(texts.read(name).splitlines(), start=1)
        if pattern.search(line)
    ]
    assert not found, f"{what}:\n" + "\n".join(found)


def text_files() -> list[str]:
    """Name the files of text, except the tests of this folder, which spell what they look for."""
    return [
        name
        for name in texts.files()
        if Path(name).suffix in TEXT_SUFFIXES and not name.startswith("tests/house/")
    ]


def _code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def _dotted(node: ast.expr) -> str:
    """``datetime.now`` for ``datetime.datetime.now`` and ``datetime.now`` alike."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
        owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
        return f"{owner}.{node.attr}"
    return ""


def _catches_everything(node: ast.ExceptHandler) -> bool:
    caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException"))
        for kind in caught
    )
