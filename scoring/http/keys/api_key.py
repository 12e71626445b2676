"""An API key: its text, which is a secret, and its record, which is none.

The text is ``weir_ID_SECRET`` with 256 random bits, so one round of SHA-256 protects it: there are
too many to try out. Pure but for the random bits. Called by `scoring.http.keys.key_file`, the gate
and `weir api-key`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final, Literal, get_args

Scope = Literal["predict", "read", "operate"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
"""``predict``: scores. ``read``: features and decisions. ``operate``: metrics."""

SECRET_BYTES: Final = 32
_TEXT: Final = re.compile(r"weir_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The record of one key.

    Attributes:
        key_id: the part of the key that is no secret; logs and lists show it.
        name: for whom it is.
        sha256: of the whole text, hex.
        scopes: what it may do.
        created_ms: when it was made, ms since 1970 UTC.
        rate_per_s: its own limit, requests/s; None for the deployment's.
    """

    key_id: str
    name: str
    sha256: str
    scopes: frozenset[Scope]
    created_ms: int
    rate_per_s: int | None = None

    def is_of(self, text: str) -> bool:
        """Say whether a text is this key; takes the same time for any text."""
        return hmac.compare_digest(_sha256(text), self.sha256)


def new_key(
    *, name: str, scopes: frozenset[Scope], created_ms: int, rate_per_s: int | None = None
) -> tuple[ApiKey, str]:
    """Make a key: its record, and its text, which is kept nowhere."""
    key_id = secrets.token_hex(6)
    text = f"weir_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    return ApiKey(key_id, name, _sha256(text), scopes, created_ms, rate_per_s), text


def key_id_of(text: str) -> str | None:
    """Give the id in the text of a key; None if the text has not the form of a key."""
    found = _TEXT.fullmatch(text)
    return found[1] if found else None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
