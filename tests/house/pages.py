"""Reads the documents: links, headings, tables, code blocks, and what the code says of itself.

Knows just enough Markdown for our own pages. Used by `test_docs.py` and by the test that runs the
programs of the pages.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

REPO = Path(__file__).resolve().parents[2]

ROOMS = (
    *("schemas", "features", "models", "clients", "streams", "scoring", "training"),
    *("operations", "infra", "examples"),
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INCLUDED = re.compile(
    r"^<!-- (docs/examples/\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"(?<!!)\[[^\]\n]*(?:\n[^\]\n]*)?\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")
_WRAPPED_SPAN = re.compile(r"`((?:[^`\n]|\n(?!\s*\n))+)`")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


def page(name: str) -> str:
    """Give a document's text; ``name`` is relative to the repository."""
    return (REPO / name).read_text(encoding="utf-8")


def page_names() -> list[str]:
    """Name every document, relative to the repository."""
    pages = [*REPO.glob("*.md"), *(REPO / "docs").rglob("*.md")]
    return sorted(str(path.relative_to(REPO)) for path in pages)


def without_fences(text: str) -> str:
    """Give the prose: the text with its code blocks taken out."""
    return _FENCE.sub("", text)


def fences(text: str) -> list[tuple[str, str]]:
    """Give each code block as (language, code)."""
    return _FENCE.findall(text)


def included_examples(text: str) -> dict[str, str]:
    """Give the code blocks that say which file they are: path to code."""
    return dict(_INCLUDED.findall(text))


def spans(text: str) -> list[str]:
    """Give everything in backticks outside of code blocks."""
    return _SPAN.findall(without_fences(text))


def wrapped_spans(text: str) -> list[str]:
    """Give what `spans` gives, and what is in backticks over several lines, each on one line."""
    return [" ".join(span.split()) for span in _WRAPPED_SPAN.findall(without_fences(text))]


def links(text: str) -> list[str]:
    """Give the target of each link outside of code blocks."""
    return _LINK.findall(without_fences(text))


def anchors(text: str) -> set[str]:
    """Give the anchors of a page's headings, as the usual renderers make them."""
    return {_anchor(heading) for heading in _HEADING.findall(without_fences(text))}


def section(text: str, heading: str) -> str:
    """Give what stands under a heading, up to the next one of its level or above.

    Raises:
        AssertionError: there is no such heading.
    """
    found = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert found is not None, f"no heading {heading!r}"
    level = len(found[1])
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{level}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def table(text: str) -> list[list[str]]:
    """Give the rows of the tables in a text, cells stripped, without headers and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rules = {number for number, row in enumerate(rows) if set("".join(row)) <= set("-: ")}
    return [
        row for number, row in enumerate(rows) if number not in rules and number + 1 not in rules
    ]


class ErrorClass(NamedTuple):
    """One exception of ours."""

    name: str
    module: str
    bases: tuple[str, ...]


def error_classes() -> list[ErrorClass]:
    """Find every exception class of the rooms, by reading, not importing: streams needs Flink."""
    classes = list(_classes())
    errors = {"Exception"}
    while True:
        more = {c.name for c in classes if c.name not in errors and _is_error(c, errors)}
        if not more:
            return sorted(c for c in classes if c.name in errors)
        errors |= more


def modules() -> list[str]:
    """Name every Python module of the rooms, as paths relative to the repository."""
    return sorted(
        str(path.relative_to(REPO))
        for room in ROOMS
        for path in (REPO / room).rglob("*.py")
        if path.name != "__init__.py"
    )


def folders() -> list[str]:
    """Name every folder of the rooms that holds Python modules, with a slash at its end."""
    return sorted({f"{Path(module).parent}/" for module in modules()})


def functions_of(path: str) -> set[str]:
    """Name the functions of a file, those in classes too."""
    tree = ast.parse((REPO / path).read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def _anchor(heading: str) -> str:
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    return re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")


def _classes() -> Iterator[ErrorClass]:
    for name in modules():
        tree = ast.parse((REPO / name).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases = tuple(ast.unparse(base).rpartition(".")[2] for base in node.bases)
                yield ErrorClass(node.name, name, bases)


def _is_error(found: ErrorClass, errors: Iterable[str]) -> bool:
    return any(base in errors or base.endswith(("Error", "Exception")) for base in found.bases)
