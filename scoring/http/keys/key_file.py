"""The file of the API keys: ``api-keys.json`` in the data directory, readable by its owner only.

`change_keys` replaces the whole file at once, under a lock, so a reader never sees half of it.
`KeyFile` gives the keys to the API and reads the file again when it has changed. A file that is
broken changes nothing: the keys that were read before stay valid, and the log says so.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from schemas.errors import WeirError, shown
from scoring.http.keys.api_key import SCOPES, ApiKey

log = logging.getLogger(__name__)

FILE_NAME: Final = "api-keys.json"
FILE_VERSION: Final = 1
KEYS_MAX: Final = 1_000
"""Most keys of one deployment."""
LOOK_MS: Final = 1_000
"""Time between two looks at the file, ms."""

Keys = Mapping[str, ApiKey]
"""Keys by their id."""


class ApiKeysFileError(WeirError):
    """The file of the API keys cannot be read, or what was asked of it cannot be done."""


def key_file(data_dir: Path) -> Path:
    """Give the file of a deployment."""
    return data_dir / FILE_NAME


def read_keys(path: Path) -> Keys:
    """Read every key; without a file there are none.

    Raises:
        ApiKeysFileError: the file cannot be read, or is none of ours.
    """
    try:
        content = json.loads(path.read_bytes())
        if content["version"] != FILE_VERSION:
            raise ValueError(f"version {shown(content['version'])}, must be {FILE_VERSION}")
        keys = [_key(entry) for entry in content["keys"]]
        if len(keys) > KEYS_MAX:
            raise ValueError(f"{len(keys)} keys, limit {KEYS_MAX}")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        cause = f"{type(error).__name__}: {error}"
        raise ApiKeysFileError(f"{path} cannot be used: {cause:.200}") from error
    return {key.key_id: key for key in keys}


def change_keys(path: Path, change: Callable[[Keys], Keys]) -> None:
    """Change the keys; other changes wait.

    Args:
        path: the file; it and its directory are made if they are missing.
        change: gives the keys as they shall be.

    Raises:
        ApiKeysFileError: the file cannot be read, or there would be too many keys.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = change(read_keys(path))
        if len(keys) > KEYS_MAX:
            raise ApiKeysFileError(
                f"{path} has {KEYS_MAX} keys, the most there may be; revoke some"
            )
        _replace(path, {"version": FILE_VERSION, "keys": [_entry(key) for key in keys.values()]})


class KeyFile:
    """The keys of the API, as they are in the file now or were less than `LOOK_MS` ago."""

    def __init__(self, path: Path, *, clock_ms: Callable[[], float]) -> None:
        """Read the file when `keys` is called first."""
        self._path = path
        self._clock_ms = clock_ms
        self._keys: Keys = {}
        self._seen: tuple[int, int, int] | None = None
        self._look_at_ms = -1.0

    def keys(self) -> Keys:
        """Give the keys by their id. Blocks: for one small local file when it has changed."""
        now_ms = self._clock_ms()
        if now_ms >= self._look_at_ms:
            self._look_at_ms = now_ms + LOOK_MS
            self._look()
        return self._keys

    def _look(self) -> None:
        seen = _identity(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._keys = read_keys(self._path)
        except ApiKeysFileError as error:
            log.error("%s; %d keys stay valid", error, len(self._keys))  # noqa: TRY400
            return
        log.info("%d API keys are valid", len(self._keys))


def _identity(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _replace(path: Path, content: dict[str, Any]) -> None:
    # mkstemp makes a file that only its owner may read.
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _entry(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "name": key.name,
        "sha256": key.sha256,
        "scopes": [scope for scope in SCOPES if scope in key.scopes],
        "created_ms": key.created_ms,
        "rate_per_s": key.rate_per_s,
    }


def _key(entry: dict[str, Any]) -> ApiKey:
    if not re.fullmatch(r"[0-9a-f]{64}", entry["sha256"]):
        raise ValueError(f"key {shown(entry['id'])} has no SHA-256")
    scopes = frozenset(entry["scopes"])
    if not scopes or not scopes <= set(SCOPES):
        raise ValueError(f"key {shown(entry['id'])} has scopes other than {', '.join(SCOPES)}")
    rate_per_s = entry.get("rate_per_s")
    if rate_per_s is not None and not (type(rate_per_s) is int and rate_per_s >= 1):
        raise ValueError(f"key {shown(entry['id'])} has the rate {shown(rate_per_s)}")
    return ApiKey(
        str(entry["id"]),
        str(entry["name"]),
        entry["sha256"],
        scopes,
        int(entry["created_ms"]),
        rate_per_s,
    )
