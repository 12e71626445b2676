"""The commands of `weir`: their names, and the real command line's opinion of one that is written.

A command is parsed with its arguments and not run: values that only the command itself can check
are not checked.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from infra.cli.main import app as command_line

_COMMAND = re.compile(
    r"(?:^\W*|&& )(?:[A-Z_]+=\S* )*(?:\.venv/bin/)?weir((?: +(?!&&|\d?>)[^\s|;#]+)+)"
)
_PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*")


def commands() -> Iterator[str]:
    """Name every command of `weir`, groups resolved."""
    yield from _commands_of("", get_command(command_line))


def written_commands(text: str) -> Iterator[str]:
    """Give the arguments of each `weir` command in a program or a sentence."""
    joined = re.sub(r"\\\n", " ", text)
    for line in joined.splitlines():
        for found in _COMMAND.finditer(line):
            yield " ".join(found[1].split())


def fault_of(written: str, *, is_complete: bool) -> str | None:
    """Say what the command line finds wrong with the arguments of `weir`; None if nothing.

    A word in capitals, such as ``FILE``, stands for a command or a text, and files need not exist.

    Args:
        written: the arguments, as a person would type them.
        is_complete: whether arguments that are required must be there; a sentence may name a
            command without them.
    """
    command: Any = get_command(command_line)
    words = shlex.split(written)
    name = "weir"
    while hasattr(command, "commands"):
        if not words or words[0] == "--help" or _PLACEHOLDER.fullmatch(words[0]):
            return None
        name, *words = words
        if name not in command.commands:
            return f"there is no command {name!r}"
        command = command.commands[name]
    return None if "--help" in words else _fault(command, name, words, is_complete=is_complete)


def _fault(command: Any, name: str, words: list[str], *, is_complete: bool) -> str | None:
    command = command.loaded()
    try:
        command.make_context(name, words)
    except Exception as error:  # noqa: BLE001 - typer has its own copy of click's errors
        kind = type(error).__name__
        is_short = kind in ("MissingParameter", "BadOptionUsage") and not is_complete
        names_example = kind == "BadParameter" and "does not exist" in str(error)
        return None if is_short or names_example else f"{kind}: {error}"
    return None


def _commands_of(prefix: str, command: object) -> Iterator[str]:
    for name, child in getattr(command, "commands", {}).items():
        if hasattr(child, "commands"):
            yield from _commands_of(f"{prefix}{name} ", child)
        else:
            yield prefix + name
