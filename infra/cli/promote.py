"""`weir models promote`: a person's choice of the champion, which must pass the parity gate."""

from typing import Annotated

import typer

from infra.cli.deployment import deployment_settings
from infra.cli.failures import EXIT_DIFFERENT
from infra.cli.model_option import ModelName, settings_for
from infra.cli.output import out, say
from operations.promotion import ClosedGate, promote_by_hand


def promote(
    version: Annotated[str, typer.Argument(help="Number of the version, see `weir models list`.")],
    *,
    model: ModelName = None,
) -> None:
    """Make a version the champion; exit 1, and change nothing, while parity is not 0.

    Recomputes every feature first, and there is no option to skip that. Its figures are not
    compared with the champion's.
    """
    with out.status("recomputing every feature"):
        settings = deployment_settings()
        promoted = promote_by_hand(settings_for(settings, model), version, deployment=settings)
    if isinstance(promoted, ClosedGate):
        say(f"not promoted, {promoted.reason}; `weir parity` shows it")
        raise typer.Exit(EXIT_DIFFERENT)
    if promoted.before is None:
        say(f"version {version} is the champion")
    else:
        say(f"version {version} is the champion, version {promoted.before.version} is archived")
