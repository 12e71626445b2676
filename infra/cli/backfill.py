"""`weir backfill`: computes rows and states of changed definitions from the archive."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from features.definitions import DEFINITION_DIGEST
from infra.cli.output import say
from infra.cli.times import shown_moment
from infra.local.flink_client import flink_client
from infra.local.stack import Stack
from operations.backfill.report import BackfillReport
from operations.backfill.run import run_backfill
from schemas.settings import Settings


def backfill(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False
) -> None:
    """Compute rows and states by changed definitions, from the archive.

    Run it when the definitions have changed and the velocity job refuses to start. It writes rows
    of the new definitions into the archive, and the states into Redis and a savepoint; then
    `weir up` continues where the old job ended. The old job's checkpoints stay under another name.
    The rows of an earlier backfill are replaced; the code of that time can compute them again.
    """
    stack = Stack(Settings())
    tell = (lambda _: None) if as_json else say
    report = run_backfill(stack.settings, flink_client(stack, log="backfill"), say=tell)
    if as_json:
        typer.echo(json.dumps(asdict(report)))
    elif report.folded == 0:
        say(f"nothing to backfill: all rows are of the definitions {DEFINITION_DIGEST}")
    else:
        _print(report)


def _print(report: BackfillReport) -> None:
    say(f"{report.rows:,} rows of the definitions {report.definition_digest} are in the archive")
    say(
        f"{report.compared:,} values of features that both definitions have were compared, "
        f"{report.different:,} differ"
    )
    for name, since_ms in report.complete_since_ms.items():
        say(f"{name} is complete since {shown_moment(since_ms)}")
    if report.is_seeded:
        say("Redis and the velocity job have their states; `weir up` goes on from there")
