"""The prose of the repository: docstrings, comments and documents, each with its place.

Python is read by `ast` and `tokenize`, Java and Rust by their comments; of other text files with
comments (shell, configuration, build files) all lines are taken. What the prose says is not known
here; `references.py` and `test_words.py` look at that.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

REPO = Path(__file__).resolve().parents[2]

_JAVA_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_JAVA_MARGIN = re.compile(r"^\s*\*(?!/) ?", re.MULTILINE)
_SPELLS_WHAT_IT_LOOKS_FOR = "tests/house/"


class Text(NamedTuple):
    """One piece of prose.

    Attributes:
        path: its file, relative to the repository.
        line: the number of its first line.
        text: what it says, without comment signs.
    """

    path: str
    line: int
    text: str


@cache
def files() -> tuple[str, ...]:
    """Name every file of the repository, relative to it: all but what `.gitignore` names."""
    return tuple(str(path.relative_to(REPO)) for path in _walk(REPO, {".git"}))


def read(name: str) -> str:
    """Give a file's text."""
    return (REPO / name).read_text(encoding="utf-8")


@cache
def texts() -> tuple[Text, ...]:
    """Give all prose of the repository, except that of the house tests."""
    names = [name for name in files() if not name.startswith(_SPELLS_WHAT_IT_LOOKS_FOR)]
    return tuple(text for name in names for text in texts_of(name, _read_if_prose(name)))


def texts_of(name: str, content: str) -> Iterator[Text]:
    """Give the prose of one file; ``name`` decides how its content is read."""
    if name.endswith(".py"):
        yield from _docstrings(name, content)
        yield from _comments(name, content)
    elif name.endswith((".java", ".rs")):
        for found in _JAVA_COMMENT.finditer(content):
            line = content.count("\n", 0, found.start()) + 1
            yield Text(name, line, _JAVA_MARGIN.sub("", found[0]))
    elif content:
        yield Text(name, 1, content)


def _walk(directory: Path, ignored: set[str]) -> Iterator[Path]:
    """Give the files of a directory; the `.gitignore` of a directory holds below it too."""
    rules = directory / ".gitignore"
    if rules.is_file():
        lines = rules.read_text(encoding="utf-8").splitlines()
        ignored = ignored | {line.strip("/") for line in lines if line and line[0] != "#"}
    for path in sorted(directory.iterdir()):
        if any(path.match(pattern) for pattern in ignored):
            continue
        if path.is_dir():
            yield from _walk(path, ignored)
        else:
            yield path


def _read_if_prose(name: str) -> str:
    suffixes = (".py", ".java", ".rs", ".md", ".sh", ".yaml", ".conf", ".properties", ".html")
    named = ("Makefile", "infra/local/pom.xml", "pyproject.toml")
    is_prose = name.endswith(suffixes) or name in named
    return read(name) if is_prose else ""


def _docstrings(name: str, content: str) -> Iterator[Text]:
    """Give every string that stands as a statement: docstrings, and those below a constant."""
    for node in ast.walk(ast.parse(content)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield Text(name, node.lineno, node.value.value)


def _comments(name: str, content: str) -> Iterator[Text]:
    """Give comments; comments on consecutive lines are one text."""
    run: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type != tokenize.COMMENT:
            continue
        if run and token.start[0] != last + 1:
            yield Text(name, first, "\n".join(run))
            run = []
        if not run:
            first = token.start[0]
        last = token.start[0]
        run.append(token.string.lstrip("# "))
    if run:
        yield Text(name, first, "\n".join(run))
