"""The application with fakes behind its ports, started and stopped around each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api_service import Service


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    with service.client:
        yield service
