"""Turns failures a person can act on into one line and an exit code, without a traceback.

Bugs still show their traceback. Used by `main` as the class of its command group.
"""

from typing import Any, Final

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from infra.local.errors import StackError
from schemas.errors import WeirError

EXIT_DIFFERENT: Final = 1
"""The command worked and what it checked is not as it should be."""
EXIT_FAILED: Final = 2
"""The command could not do its work: wrong input, or something is not reachable."""

FAILURES: Final = (WeirError, StackError)
"""What a person can act on: the message says all there is to say."""

err = Console(stderr=True, soft_wrap=True)


class UsageError(WeirError):
    """What was asked for cannot be done; says what to ask for instead."""


class ReportingGroup(TyperGroup):
    """A command group that reports `WeirError` and bad settings as one line each."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; called by typer."""
        try:
            return super().invoke(ctx)
        except FAILURES as error:
            err.print(f"[bold red]error:[/] {escape(str(error))}")
        except ValidationError as error:
            for problem in error.errors():
                if problem["type"] == "default_factory_not_called":
                    continue  # It follows from another setting, which is told.
                name = "WEIR_" + "_".join(str(part) for part in problem["loc"]).upper()
                err.print(f"[bold red]error:[/] setting {escape(name)}: {escape(problem['msg'])}")
        raise typer.Exit(EXIT_FAILED)
