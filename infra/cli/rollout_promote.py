"""`weir rollout promote`: the version of an arm becomes the champion, through the parity gate."""

from typing import Annotated

import typer

from infra.cli.deployment import deployment_settings
from infra.cli.failures import EXIT_DIFFERENT
from infra.cli.output import out, say
from infra.cli.rollout_options import By, RolloutId, Why, author_of, rollout_commands
from operations.promotion import ClosedGate
from operations.rollouts.promote import promote as promote_arm


def promote(
    rollout_id: RolloutId,
    *,
    arm: Annotated[
        str | None, typer.Option(help="Arm whose version wins; the challenger by default.")
    ] = None,
    by: By = None,
    why: Why = "promoted by hand",
) -> None:
    """Make a rollout's challenger the champion and end the rollout; exit 1 if parity is not 0.

    Recomputes every feature first, and there is no option to skip that. `--arm control` keeps the
    champion and ends the rollout.
    """
    with out.status("recomputing every feature"):
        promoted = promote_arm(
            deployment_settings(), rollout_commands(), rollout_id, arm=arm, **author_of(by, why)
        )
    if isinstance(promoted, ClosedGate):
        say(f"not promoted, {promoted.reason}; `weir parity` shows it, the rollout goes on")
        raise typer.Exit(EXIT_DIFFERENT)
    say(f"{rollout_id} is completed: version {promoted.winner.version} is the champion")
    if promoted.before is not None:
        say(f"version {promoted.before.version} is archived")
