"""`weir models list`, `history` and `rollback`.

They take milliseconds, because MLflow itself is not imported. `infra.cli.promote` promotes.
"""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Column, Table

from clients.mlflow_rest import ModelVersion
from infra.cli.model_option import ModelName, settings_for
from infra.cli.output import out, say
from models.champion_log import NO_CHAMPION, Entry
from schemas.settings import Settings
from training.registry.versions import ModelVersions

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


def list_models(*, model: ModelName = None, as_json: AsJson = False) -> None:
    """List the versions of the model, newest first.

    The status is the alias of a version, or its tag `status` if it has none.
    """
    versions = ModelVersions.from_settings(settings_for(Settings(), model))
    newest = versions.history().newest
    found = versions.all()
    if as_json:
        for entry in found:
            typer.echo(json.dumps(_version_fields(entry)))
        return
    columns = ("version", "status", "average\nprecision", "registered (UTC)", _why())
    table = Table(*columns, box=None)
    for entry in found:
        status = " ".join(entry.aliases) or entry.tags.get("status", "")
        precision = entry.tags.get("average_precision", "")
        why = entry.tags.get("reason", "")
        table.add_row(entry.version, status, precision, _minute(entry.created_ms), why)
    _print(table)
    if newest is None or newest.version == NO_CHAMPION:
        instead = "the heuristic decides" if model is None else "it scores nothing"
        say(f"no version is the champion: {instead}")
    else:
        say(f"version {newest.version} is the champion, {newest.how} {_minute(newest.at_ms)} UTC")


def history(*, model: ModelName = None, as_json: AsJson = False) -> None:
    """Show which version was champion when, newest first.

    The column `rollback` numbers the champions that rollbacks would return to, one after the other,
    unless they cannot return: `weir models rollback` names those it skips.
    """
    log = ModelVersions.from_settings(settings_for(Settings(), model)).history()
    turns = {entry.number: turn for turn, entry in enumerate(log.earlier(), start=1)}
    if as_json:
        for entry in reversed(log.entries):
            typer.echo(json.dumps(_entry_fields(entry, turns.get(entry.number))))
        return
    table = Table("time (UTC)", "champion", "how", "rollback", _why(), box=None)
    for entry in reversed(log.entries):
        champion = entry.version if entry.version != NO_CHAMPION else "none"
        turn = str(turns.get(entry.number, ""))
        table.add_row(_minute(entry.at_ms), champion, entry.how, turn, entry.reason)
    _print(table)
    if not log.entries:
        say("there never was a champion")


def rollback(*, model: ModelName = None) -> None:
    """Make the version champion again that was champion before the present one.

    The scorer follows within seconds. Skips versions that cannot return, and says which. Does not
    ask for parity: the version passed it when it was promoted, and a rollback is the way out when
    something is wrong.
    """
    done = ModelVersions.from_settings(settings_for(Settings(), model)).roll_back()
    for skipped in done.skipped:
        say(f"skipped: {skipped}")
    left = "before, there was none" if done.left is None else f"version {done.left} is rolled back"
    say(f"version {done.now.version} is the champion again, {left}")


def _why() -> Column:
    # A column holds the cells of its table, so each table needs one of its own.
    return Column("why", overflow="fold")


def _print(table: Table) -> None:
    # Folds long texts into the width of the screen; `out` by itself would cut no line.
    out.print(table, soft_wrap=False, markup=False, highlight=False)


def _minute(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1_000, UTC):%Y-%m-%d %H:%M}"


def _version_fields(version: ModelVersion) -> dict[str, object]:
    return {
        "version": version.version,
        "aliases": list(version.aliases),
        "created_ms": version.created_ms,
        "run_id": version.run_id,
        "tags": dict(version.tags),
    }


def _entry_fields(entry: Entry, turn: int | None) -> dict[str, object]:
    return {
        "number": entry.number,
        "version": entry.version or None,
        "how": entry.how,
        "at_ms": entry.at_ms,
        "rollback": turn,
        "reason": entry.reason,
    }
