"""A command whose module is imported only when the command runs.

MLflow, Feast and scikit-learn take seconds to import; `weir status` and `weir --help` must not wait
for them. Knows a command's name, help line and place, nothing of what it does. Used by `main`.
"""

from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand


class LazyCommand(TyperCommand):
    """Stands for a command in the list of commands, and becomes it when it is called.

    Attributes:
        place: module and function of the command, as ``module:function``.
    """

    place: ClassVar[str]

    def loaded(self) -> TyperCommand:
        """Import the command's module, and give the command itself with its options."""
        module, _, function = self.place.partition(":")
        single = typer.Typer(add_completion=False)
        single.command(self.name)(getattr(import_module(module), function))
        command = typer.main.get_command(single)
        assert isinstance(command, TyperCommand)
        return command

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """Parse the arguments by the command itself; called by typer."""
        return self.loaded().make_context(*arguments, **named)


def add_command(app: typer.Typer, name: str, *, place: str, summary: str) -> None:
    """Add a command without importing it.

    Args:
        app: where to add it.
        name: of the command.
        place: its module and function, as ``module:function``.
        summary: what the list of commands says of it: the first line of its docstring.
    """
    kind = type("LazyCommandOf" + name.title(), (LazyCommand,), {"place": place})
    app.command(name, help=summary, cls=kind)(_never_called)


def _never_called() -> None:
    raise AssertionError("LazyCommand calls the function at its place instead")
