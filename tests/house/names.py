"""What the repository contains, by name: modules, their members, files, decision records, words.

Read by `ast` and not imported, because the Flink environment is another one. `references.py` asks
whether a thing that a text refers to is there.
"""

from __future__ import annotations

import ast
import builtins
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import PurePosixPath
from typing import NamedTuple

from features.batch import BATCH_VIEWS
from features.definitions import FEATURE_NAMES
from operations.rollouts.controller.metrics import CONTROLLER_METRICS
from schemas.settings import Settings
from scoring.http.metrics import API_METRICS
from scoring.metrics import METRICS
from tests.house import texts
from tests.house.pages import ROOMS

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_JAVA_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_NO_CODE = (".md", ".svg", ".txt")


class Members(NamedTuple):
    """What one class has.

    Attributes:
        own: names of its methods, fields and attributes.
        bases: names of its base classes.
    """

    own: frozenset[str]
    bases: tuple[str, ...]


@cache
def modules() -> dict[str, set[str]]:
    """Give every module and package of ours, by dotted name, with its top-level names."""
    found: dict[str, set[str]] = {}
    for name in texts.files():
        path = PurePosixPath(name)
        if path.suffix == ".py" and path.parts[0] in (*ROOMS, "tests"):
            parts = path.parent.parts if path.stem == "__init__" else path.with_suffix("").parts
            found.setdefault(".".join(parts), set()).update(_top_level(_tree(name)))
            for size in range(1, len(parts)):
                found.setdefault(".".join(parts[:size]), set())
    return found


@cache
def classes() -> dict[str, list[Members]]:
    """Give the classes of ours by name; two modules may have one of the same name."""
    found: dict[str, list[Members]] = defaultdict(list)
    for node in _nodes():
        if isinstance(node, ast.ClassDef):
            found[node.name].append(_members(node))
    return found


@cache
def attributes() -> frozenset[str]:
    """Give every attribute that the code reads or sets, of whatever object."""
    return frozenset(node.attr for node in _nodes() if isinstance(node, ast.Attribute))


@cache
def file_names() -> frozenset[str]:
    """Give the names of all files, without their folders."""
    return frozenset(PurePosixPath(name).name for name in texts.files())


@cache
def decision_numbers() -> frozenset[str]:
    """Give the four digits of every decision record."""
    return frozenset(path.name[:4] for path in (texts.REPO / "docs" / "adr").glob("[0-9]*.md"))


@cache
def words(*, with_strings_of_tests: bool) -> frozenset[str]:
    """Give every word of code: identifiers, words in strings, words of configuration.

    Comments, docstrings and pages do not count, because a word that is only in prose refers to
    nothing. Names that the code derives, such as those of settings and features, are added.

    Args:
        with_strings_of_tests: strings of tests hold values made up for the test, so that only
            prose of the tests may refer to them.
    """
    found = {*dir(builtins), *file_names(), *_derived_names()}
    for dotted in modules():
        found.update(dotted.split("."))
    for name in texts.files():
        if name.endswith(".py"):
            with_strings = with_strings_of_tests or not name.startswith("tests/")
            found.update(_python_words(texts.read(name), with_strings=with_strings))
        elif name.endswith((".java", ".rs")):
            found.update(_WORD.findall(_JAVA_COMMENT.sub("", texts.read(name))))
        elif not name.endswith(_NO_CODE):
            found.update(_WORD.findall(texts.read(name)))
    return frozenset(found)


@cache
def beginnings(*, with_strings_of_tests: bool) -> tuple[str, ...]:
    """Give the words of strings to which code appends, such as ``weir_parity_``."""
    found = words(with_strings_of_tests=with_strings_of_tests)
    return tuple(word for word in found if re.fullmatch(r"[a-z]\w{3,}_", word))


def resolves(dotted: str) -> bool:
    """Say whether a dotted name that begins with a room leads to something."""
    parts = dotted.split(".")
    for size in range(len(parts), 0, -1):
        top_level = modules().get(".".join(parts[:size]))
        if top_level is not None:
            rest = parts[size:]
            return not rest or (
                rest[0] in top_level and (len(rest) == 1 or has_member(rest[0], rest[1]))
            )
    return False


def has_member(class_name: str, member: str) -> bool:
    """Say whether a class has a member; True where our own code cannot tell."""
    known = classes().get(class_name)
    if known is None or member.startswith("__"):
        return True
    return any(
        member in members.own or any(has_member(base, member) for base in members.bases)
        for members in known
    )


def _members(node: ast.ClassDef) -> Members:
    own = {name for child in ast.walk(node) for name in _defined_by(child)}
    own |= {child.attr for child in ast.walk(node) if _is_stored_attribute(child)}
    bases = (ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases)
    plain = {"object", "Protocol", "NamedTuple", "Generic"}
    return Members(frozenset(own), tuple(base for base in bases if base not in plain))


def _is_stored_attribute(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)


def _nodes() -> Iterator[ast.AST]:
    for name in texts.files():
        if name.endswith(".py"):
            yield from ast.walk(_tree(name))


@cache
def _tree(name: str) -> ast.Module:
    return ast.parse(texts.read(name))


def _top_level(tree: ast.Module) -> set[str]:
    """Give what a module defines or imports, also inside ``if`` and ``try``."""
    inner = [node for node in tree.body if isinstance(node, ast.If | ast.Try)]
    nodes = [*tree.body, *(child for node in inner for child in ast.walk(node))]
    return {name for node in nodes for name in _defined_by(node)}


def _defined_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            yield from (child.id for child in ast.walk(target) if isinstance(child, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)


def _python_words(content: str, *, with_strings: bool) -> Iterator[str]:
    """Give names and words in strings; a string that stands as a statement is a docstring."""
    begins_statement = True
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type == tokenize.NAME:
            yield token.string
        elif token.type == tokenize.STRING and with_strings and not begins_statement:
            yield from _WORD.findall(token.string)
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            begins_statement = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)


def _derived_names() -> Iterator[str]:
    yield from (*FEATURE_NAMES, *(name for view in BATCH_VIEWS for name in view.names))
    yield from (f"WEIR_{name.upper()}" for name in Settings.model_fields)
    # Prometheus shows a counter with this ending.
    specs = (*METRICS.values(), *API_METRICS.values(), *CONTROLLER_METRICS.values())
    yield from (f"{spec.name}_total" for spec in specs)
