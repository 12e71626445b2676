"""Services that several integration tests share: a system with which parity is 0."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.settings import Settings
from tests.logged_system import LoggedSystem, logged_services
from tests.services import Services
from tests.train_command import settings_of


@pytest.fixture(scope="session")
def true_system() -> LoggedSystem:
    """Logs and states that are what a recomputation gives."""
    return LoggedSystem.folded()


@pytest.fixture(scope="session")
def true_services(local_services: Services, true_system: LoggedSystem) -> Iterator[Services]:
    """A Kafka and a Redis that hold it; `local_services` marks the test."""
    with logged_services(true_system) as started:
        yield started


@pytest.fixture(scope="session")
def true_archive(true_system: LoggedSystem, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of an archive of the logs, which no test writes to."""
    url = str(tmp_path_factory.mktemp("archive"))
    true_system.archive(url)
    return url


@pytest.fixture
def training_settings(
    true_services: Services, mlflow_server: Services, true_archive: str, tmp_path: Path
) -> Settings:
    """A registered model of this test's own, on the logs and the archive that all tests read."""
    return settings_of(true_services, mlflow_server, true_archive, tmp_path / "data")
