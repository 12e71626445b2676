"""Refuses to serve other machines without API keys."""

from __future__ import annotations

import ipaddress

from schemas.errors import WeirError
from schemas.settings import Settings


class UnguardedApiError(WeirError):
    """The API would answer other machines without asking for a key."""


def check_exposure(settings: Settings) -> None:
    """Refuse an address that other machines can reach, unless API keys are required.

    Raises:
        UnguardedApiError: says which settings to change.
    """
    if settings.api_keys_required or _is_loopback(settings.api_host):
        return
    raise UnguardedApiError(
        f"WEIR_API_HOST={settings.api_host} can be reached from other machines, and the API would "
        "answer anybody: set WEIR_API_KEYS_REQUIRED=true and make keys with `weir api-key create`, "
        "or listen on 127.0.0.1"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
