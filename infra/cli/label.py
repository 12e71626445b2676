"""`weir label`: a person reports that a transaction was fraud, or was not."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from infra.cli.deployment import deployment_settings
from infra.cli.output import say
from infra.cli.times import shown_moment
from infra.simulation.clock import WallClock
from operations.labels.report import report


def label(
    transaction: Annotated[str, typer.Argument(help="The transaction's id.")],
    *,
    is_fraud: Annotated[
        bool, typer.Option("--fraud/--legitimate", help="What the transaction was.")
    ],
    by: Annotated[str, typer.Option(help="Who says so: a name, kept with the label.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Report that a transaction was fraud, or was not; looks up its merchant and its time."""
    sent = report(
        deployment_settings(),
        transaction,
        is_fraud=is_fraud,
        labelled_by=by,
        now_ms=WallClock().now_ms(),
    )
    if as_json:
        typer.echo(
            json.dumps(
                {
                    **asdict(sent.label),
                    "labelled_by": by,
                    "found_in": sent.found_in,
                    "partition": sent.place.partition,
                    "offset": sent.place.offset,
                }
            )
        )
        return
    say(f"sent to labels-{sent.place.partition}@{sent.place.offset}:")
    say(f"  transaction  {sent.label.transaction_id}")
    say(f"  merchant     {sent.label.merchant_id} (from the {sent.found_in})")
    say(f"  event time   {shown_moment(sent.label.event_time_ms)}")
    say(f"  observed     {shown_moment(sent.label.observed_time_ms)}")
    say(f"  it was       {'fraud' if sent.label.is_fraud else 'legitimate'}, says {by}")
