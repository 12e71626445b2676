"""`weir api-key create`, `list` and `revoke`: who may use the API.

They change the file of the keys (`scoring.http.keys.key_file`); a running API follows within a
second.
"""

import json
import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from infra.cli.failures import UsageError
from infra.cli.output import out, say
from schemas.settings import Settings
from scoring.http.keys.api_key import SCOPES, ApiKey, new_key
from scoring.http.keys.key_file import Keys, change_keys, key_file, read_keys

NAME_LENGTH_MAX = 128


def create(
    name: Annotated[str, typer.Argument(help="For whom the key is.")],
    *,
    scope: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(SCOPES)}; may be given several times."),
    ] = None,
    rate_per_s: Annotated[
        int | None, typer.Option(min=1, help="Its own limit, requests/s.")
    ] = None,
) -> None:
    """Make an API key and print it, once; only its SHA-256 is kept."""
    scopes = frozenset(each for each in SCOPES if each in (scope or ("predict",)))
    if wrong := sorted(set(scope or ()) - set(SCOPES)):
        raise UsageError(f"--scope {', '.join(wrong)} is none of {', '.join(SCOPES)}")
    if not 1 <= len(name) <= NAME_LENGTH_MAX or not name.isprintable():
        raise UsageError(f"NAME must have 1 to {NAME_LENGTH_MAX} printable characters")
    settings = Settings()
    key, text = new_key(
        name=name,
        scopes=scopes,
        created_ms=time.time_ns() // 1_000_000,
        rate_per_s=rate_per_s,
    )
    change_keys(key_file(settings.data_dir), lambda keys: {**keys, key.key_id: key})
    typer.echo(text)
    typer.echo(
        f"key {key.key_id} for {name} may {' and '.join(_scopes(key))}; it is not shown again",
        err=True,
    )
    if not settings.api_keys_required:
        typer.echo("the API asks for keys only with WEIR_API_KEYS_REQUIRED=true", err=True)


def list_keys(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """List the API keys that are valid, without their secrets."""
    keys = read_keys(key_file(Settings().data_dir)).values()
    if as_json:
        for key in keys:
            typer.echo(json.dumps(_fields(key)))
        return
    table = Table("id", "name", "scopes", "requests/s", "made (UTC)", box=None)
    for key in keys:
        made = f"{datetime.fromtimestamp(key.created_ms / 1_000, UTC):%Y-%m-%d %H:%M}"
        rate = "as all" if key.rate_per_s is None else str(key.rate_per_s)
        table.add_row(key.key_id, key.name, " ".join(_scopes(key)), rate, made)
    out.print(table, soft_wrap=False, markup=False, highlight=False)


def revoke(
    key_id: Annotated[str, typer.Argument(help="The id, as `weir api-key list` shows it.")],
) -> None:
    """Make an API key invalid; the API refuses it within a second."""

    def without(keys: Keys) -> Keys:
        if key_id not in keys:
            raise UsageError(f"there is no key {key_id}; `weir api-key list` shows those there are")
        return {other: key for other, key in keys.items() if other != key_id}

    change_keys(key_file(Settings().data_dir), without)
    say(f"key {key_id} is revoked")


def _scopes(key: ApiKey) -> list[str]:
    return [scope for scope in SCOPES if scope in key.scopes]


def _fields(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.key_id,
        "name": key.name,
        "scopes": _scopes(key),
        "rate_per_s": key.rate_per_s,
        "created_ms": key.created_ms,
    }
