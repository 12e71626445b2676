"""`weir models list` and `rollback`: in milliseconds, because MLflow itself is not imported."""

from datetime import UTC, datetime

from rich.table import Table

from infra.cli.output import out, say
from schemas.settings import Settings
from training.registry.versions import ModelVersions


def list_models() -> None:
    """List the versions of the model, newest first."""
    versions = ModelVersions.from_settings(Settings())
    names = ("version", "aliases", "status", "average precision", "code", "registered (UTC)", "why")
    table = Table(*names)
    for entry in versions.all():
        created = datetime.fromtimestamp(entry.created_ms / 1_000, UTC)
        told = (entry.tags.get(tag, "") for tag in ("status", "average_precision", "code_version"))
        cells = (" ".join(entry.aliases), *told, f"{created:%Y-%m-%d %H:%M:%S}")
        table.add_row(entry.version, *cells, entry.tags.get("reason", ""))
    out.print(table)


def rollback() -> None:
    """Make the version champion again that the present champion replaced.

    The scorer follows within seconds. Does not ask for parity: that version passed it when it was
    promoted, and a rollback is the way out when something is wrong.
    """
    left, now = ModelVersions.from_settings(Settings()).roll_back()
    say(f"version {now.version} is the champion again, version {left.version} is rolled back")
