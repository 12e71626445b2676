"""Plain English: words that only this project used are replaced by the field's own terms.

Checked in prose (docstrings, comments, pages) and in names and messages of the code.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests.house import texts
from tests.house.pages import ROOMS
from tests.house.texts import Text

INSTEAD = {
    "anew": "again",
    "bundl(?:e|es|ed|ing)": "batch; for rows that leave Flink together, output batch",
    "gather(?:s|ed|ing)?": "batch, collect; for the wait for more records, linger",
    "habits?": "batch features, or what exactly they are",
    "nobody": "no reader, no process, no user: say which",
    "opponents?": "baseline",
    "raced": "late label",
    "reunit(?:e|es|ed|ing)": "batch",
    "somebody": "a producer, an operator, another process: say which",
    "whoever": "the reader, the caller, the operator: say which",
}
"""Pattern of a word to what to write instead."""

_OF_OTHERS = re.compile(r"asyncio\.gather|swagger-ui-bundle|WEIR_GATHER_MS")
"""Names of other projects, and the former name of a setting in the changelog."""

_BANNED = {re.compile(rf"(?<![a-z]){word}(?![a-z])"): instead for word, instead in INSTEAD.items()}
_CAMEL_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_JAVA_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)


def banned(text: Text) -> Iterator[str]:
    """Give each banned word of a text, with its place and what to write instead."""
    for number, line in enumerate(text.text.splitlines(), start=text.line):
        ours = _CAMEL_HUMP.sub(" ", _OF_OTHERS.sub("", line)).lower()
        for pattern, instead in _BANNED.items():
            for found in pattern.finditer(ours):
                yield f"{text.path}:{number} {found[0]}: write {instead}"


def code(name: str, content: str) -> Iterator[Text]:
    """Give the code of a file without prose: names and strings of Python, all code of Java."""
    if name.endswith(".py"):
        for token in tokenize.generate_tokens(io.StringIO(content).readline):
            if token.type in (tokenize.NAME, tokenize.STRING):
                yield Text(name, token.start[0], token.string)
    elif name.endswith(".java"):
        without_prose = _JAVA_COMMENT.sub(lambda found: "\n" * found[0].count("\n"), content)
        yield Text(name, 1, without_prose)


def test_prose_uses_the_terms_of_the_field() -> None:
    found = [breach for text in texts.texts() for breach in banned(text)]
    assert not found, "\n" + "\n".join(found)


def test_names_and_messages_use_the_terms_of_the_field() -> None:
    names = [name for name in texts.files() if name.startswith(tuple(f"{r}/" for r in ROOMS))]
    parts = (part for name in names for part in code_of(name))
    found = [breach for part in parts for breach in banned(part)]
    assert not found, "\n" + "\n".join(found)


def code_of(name: str) -> Iterator[Text]:
    return code(name, texts.read(name)) if name.endswith((".py", ".java")) else iter(())


def functions_named_for_words(content: str) -> list[str]:
    """Name the functions that give text and call it words."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    defined = (node for node in ast.walk(ast.parse(content)) if isinstance(node, kinds))
    return [node.name for node in defined if "words" in node.name.split("_")]


def test_a_function_says_what_its_text_describes() -> None:
    names = [n for n in texts.files() if n.startswith(ROOMS) and n.endswith(".py")]
    found = [
        f"{n} {function}" for n in names for function in functions_named_for_words(texts.read(n))
    ]
    assert not found, "write describe_..., or the noun that the text is\n" + "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "Nobody knows",
        "rows that were bundled",
        "GATHER_MS",
        "gather_ms",
        "REUNITED",
        "class BundlingFold",
        "made anew.",
        "a user's habits",
    ],
)
def test_every_banned_word_is_found_in_prose_and_in_names(line: str) -> None:
    assert len(list(banned(Text("x.md", 1, line)))) == 1


@pytest.mark.parametrize(
    "line", ["a bundleless day", "asyncio.gather(*tasks)", "renewed", "traced"]
)
def test_other_words_are_not_found(line: str) -> None:
    assert list(banned(Text("x.md", 1, line))) == []


def test_code_is_looked_at_without_its_comments() -> None:
    (name,) = code("x.py", "gather = 1  # nobody\n")
    assert [breach.partition(" ")[2][:6] for breach in banned(name)] == ["gather"]
    java = "/* nobody\n */\nint gathered; // somebody\n"
    assert [b.partition(":")[2][:10] for t in code("X.java", java) for b in banned(t)] == [
        "3 gathered"
    ]
    assert functions_named_for_words("def in_words(): pass\ndef swords(): pass") == ["in_words"]
