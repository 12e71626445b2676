"""Lets a request in, or refuses it: by its key, the key's scopes, and the key's rate.

Refusals are HTTP errors with the headers that RFC 6750 and RFC 9110 ask for;
`scoring.http.problems` makes them problem details. Called for each request of a route that has a
scope (`scoring.http.scoped_route`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from starlette.exceptions import HTTPException

from scoring.http.keys.api_key import ApiKey, Scope, key_id_of
from scoring.http.keys.key_file import KeyFile, Keys
from scoring.http.keys.rate_limit import RateLimits

CHALLENGE: Final = 'Bearer realm="weir"'
NO_KEY: Final = "this route needs an API key: Authorization: Bearer weir_..."
UNKNOWN_KEY: Final = "the API key is not valid: it was revoked, or never made"
_BEARER: Final = "bearer "
# So that an unknown id takes as long as a known one.
_NO_KEY_RECORD: Final = ApiKey("", "", "0" * 64, frozenset(), 0)


def wrong_scope(scope: Scope) -> str:
    """Say that a key may not do this."""
    return f"the API key has not the scope {scope}"


def too_many(rate_per_s: float) -> str:
    """Say that a key is used too often."""
    return f"more than {rate_per_s:g} requests/s with this API key"


class Gate:
    """Checks the keys of requests."""

    def __init__(
        self,
        keys: KeyFile,
        *,
        rate_per_s: int,
        workers: int,
        clock_ms: Callable[[], float],
    ) -> None:
        """Let in requests with a valid key.

        Args:
            keys: the valid keys.
            rate_per_s: the limit of a key that has none of its own, requests/s; 0 for none.
            workers: how many processes share the limit; each grants its part.
            clock_ms: a clock that never goes back, ms.
        """
        self._keys = keys
        self._rate_per_s = rate_per_s
        self._workers = workers
        self._clock_ms = clock_ms
        self._limits = RateLimits()
        self._known: Keys = {}

    def admit(self, authorization: str | None, *, scope: Scope) -> str:
        """Let a request in and give the id of its key.

        Args:
            authorization: the header of the request.
            scope: what the route asks for.

        Raises:
            HTTPException: 401 without a valid key, 403 without the scope, 429 above the rate.
        """
        key = self._key(authorization)
        if scope not in key.scopes:
            challenge = f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'
            raise HTTPException(403, wrong_scope(scope), {"WWW-Authenticate": challenge})
        rate_per_s = self._rate_per_s if key.rate_per_s is None else key.rate_per_s
        wait_s = self._limits.wait_s(
            key.key_id, rate_per_s=rate_per_s / self._workers, now_ms=self._clock_ms()
        )
        if wait_s:
            headers = {"Retry-After": str(math.ceil(wait_s))}
            raise HTTPException(429, too_many(rate_per_s), headers)
        return key.key_id

    def charge(self, key_id: str, requests: float) -> None:
        """Count a request that has been let in as more than one."""
        self._limits.charge(key_id, requests)

    def _key(self, authorization: str | None) -> ApiKey:
        if authorization is None or authorization[: len(_BEARER)].lower() != _BEARER:
            raise HTTPException(401, NO_KEY, {"WWW-Authenticate": CHALLENGE})
        keys = self._keys.keys()
        if keys is not self._known:
            self._known = keys
            self._limits.forget_all_but(set(keys))
        text = authorization[len(_BEARER) :].strip()
        key = keys.get(key_id_of(text) or "", _NO_KEY_RECORD)
        if not key.is_of(text) or key is _NO_KEY_RECORD:
            challenge = f'{CHALLENGE}, error="invalid_token"'
            raise HTTPException(401, UNKNOWN_KEY, {"WWW-Authenticate": challenge})
        return key
