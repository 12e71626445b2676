"""The commands of `weir` and their options, read from the command line itself."""

from __future__ import annotations

from collections.abc import Iterator

from typer.main import get_command

from infra.cli.main import app as command_line


def commands() -> Iterator[tuple[str, set[str]]]:
    """Every command of `weir`, groups resolved, with its options."""
    yield from _commands_of("", get_command(command_line))


def _commands_of(prefix: str, command: object) -> Iterator[tuple[str, set[str]]]:
    for name, child in getattr(command, "commands", {}).items():
        if hasattr(child, "commands"):
            yield from _commands_of(f"{prefix}{name} ", child)
        else:
            params = child.loaded().params
            yield prefix + name, {option for param in params for option in param.opts}
