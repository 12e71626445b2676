"""What every command prints with."""

from rich.console import Console

out = Console(soft_wrap=True)


def say(line: str) -> None:
    """Print one line about what is going on."""
    out.print(line, highlight=False, markup=False)
