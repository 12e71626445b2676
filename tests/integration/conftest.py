"""Services that several integration tests share: a system with which parity is 0."""

from collections.abc import Iterator

import pytest

from tests.logged_system import LoggedSystem, logged_services
from tests.services import Services


@pytest.fixture(scope="session")
def true_system() -> LoggedSystem:
    """Logs and states that are what a recomputation gives."""
    return LoggedSystem.folded()


@pytest.fixture(scope="session")
def true_services(local_services: Services, true_system: LoggedSystem) -> Iterator[Services]:
    """A Kafka and a Redis that hold it; `local_services` marks the test."""
    with logged_services(true_system) as started:
        yield started
