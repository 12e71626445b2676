"""What the commands of `weir rollout` have in common: the rollout, who asks and why."""

import getpass
from typing import Annotated, TypedDict

import typer

from infra.cli.deployment import deployment_settings
from scoring.stores.rollout_commands import RolloutCommands
from scoring.wiring import build_rollout_commands

SOURCE = "/weir/cli"
"""CloudEvents source of the changes."""

RolloutId = Annotated[str, typer.Argument(help="Name of the rollout: a-z, 0-9, dot, dash.")]
By = Annotated[
    str | None, typer.Option("--by", help="Who asks, kept with the change; your login by default.")
]
Why = Annotated[str, typer.Option("--why", help="Why, a sentence, kept with the change.")]


class Asked(TypedDict):
    """Who asks, and why."""

    by: str
    reason: str


def author_of(by: str | None, why: str) -> Asked:
    """Give who asks and why, as the commands take it."""
    return {"by": by or getpass.getuser(), "reason": why}


def rollout_commands() -> RolloutCommands:
    """Make the commands on the rollouts of this deployment."""
    return build_rollout_commands(deployment_settings(), source=SOURCE)
