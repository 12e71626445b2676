"""Which addresses need API keys."""

from __future__ import annotations

import pytest

from schemas.settings import Settings
from scoring.http.exposure import UnguardedApiError, check_exposure


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_this_machine_needs_no_keys(host: str) -> None:
    check_exposure(Settings(api_host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "api.example.org"])
def test_other_machines_need_keys(host: str) -> None:
    with pytest.raises(UnguardedApiError, match="WEIR_API_KEYS_REQUIRED=true"):
        check_exposure(Settings(api_host=host))
    check_exposure(Settings(api_host=host, api_keys_required=True))
