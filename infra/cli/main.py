"""The command `weir`, put together: each module adds the commands it owns."""

import typer

from infra.cli import (
    archive,
    backfill,
    dataset,
    decisions,
    demo,
    features,
    parity,
    stack,
    tables,
    traffic,
    training,
)
from infra.cli.failures import ReportingGroup

app = typer.Typer(
    name="weir",
    cls=ReportingGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Score every transaction of a stream as it passes.",
)

for module in (
    stack,
    demo,
    traffic,
    tables,
    parity,
    decisions,
    archive,
    backfill,
    dataset,
    features,
    training,
):
    module.register(app)

if __name__ == "__main__":
    app()
