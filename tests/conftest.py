"""Fixtures for all tests: real services, started once a session, and a check of error logs.

`kafka`, `redis_server` and `mlflow_server` start one service each; `weir_stack` starts everything.
A test fails if an ERROR is logged that it did not announce.
"""

import logging
import random
import re
from collections.abc import Iterator

import hypothesis

# Imported before Feast, which changes it: counters of one name would be shared by all registries.
import prometheus_client  # noqa: F401
import pytest

from tests import services
from tests.services import Services

SERVICE_FIXTURES = {"kafka", "redis_server", "mlflow_server", "weir_stack", "local_services"}
SERVICE_PARAMETERS = {"kafka", "redis", "mlflow"}

BROKEN_CONNECTION = r"^kafka\.(cluster: Metadata refresh: failed |net\.(connection|transport): )"
"""kafka-python logs this for every connection that ends while a request is in flight, also when it
closes the connection itself; the text depends on the timing. It connects again, and a call that
needed the answer fails by itself."""

# No deadline: how long an example takes depends on the machine. Few examples by default; `make
# component` uses the profile `thorough`.
hypothesis.settings.register_profile("quick", deadline=None, print_blob=True, max_examples=24)
hypothesis.settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=160)
# `make fuzz`: so many requests of each kind to each route of the API.
hypothesis.settings.register_profile("fuzz", deadline=None, print_blob=True, max_examples=400)
hypothesis.settings.load_profile("quick")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed of random tests here, so that it is printed and can be passed again."""
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))


def pytest_report_header(config: pytest.Config) -> str:
    return f"random tests: repeat with --hypothesis-seed={config.option.hypothesis_seed}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start a real service.

    A contract suite requests its service when it runs, so it is found by its parameter.
    """
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
        if SERVICE_FIXTURES & set(getattr(item, "fixturenames", ())) or any(
            name in SERVICE_PARAMETERS for name in parameters if isinstance(name, str)
        ):
            item.add_marker("service")


@pytest.fixture(scope="session")
def local_services(request: pytest.FixtureRequest) -> Iterator[Services]:
    """A local stack of this session, with nothing started."""
    with services.local_services(keep_logs=lambda: bool(request.session.testsfailed)) as local:
        yield local


@pytest.fixture(scope="session")
def containers() -> bool:
    """Whether Kafka and Redis come from a container engine."""
    return services.chosen_by_environment()


@pytest.fixture(scope="session")
def kafka(containers: bool, local_services: Services) -> Iterator[Services]:
    """A Kafka broker; make topics with `kafka.new_topic()`."""
    if containers:
        with services.kafka_container(local_services.settings) as started:
            yield started
    else:
        yield _started(local_services, "kafka")


@pytest.fixture(scope="session")
def redis_server(containers: bool, local_services: Services) -> Iterator[Services]:
    """A Redis; use keys with a unique prefix."""
    if containers:
        with services.redis_container(local_services.settings) as started:
            yield started
    else:
        yield _started(local_services, "redis")


@pytest.fixture(scope="session")
def mlflow_server(local_services: Services) -> Services:
    """An MLflow server, always a local process."""
    return _started(local_services, "mlflow")


@pytest.fixture(scope="session")
def weir_stack(local_services: Services) -> Services:
    """The whole system, always as local processes, because tests kill them by process id."""
    assert local_services.stack is not None
    local_services.stack.up()
    return local_services


@pytest.fixture(autouse=True)
def _no_unexpected_error_logs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which our code or a library logs an ERROR that the test does not expect."""
    marks = request.node.iter_markers("expects_error_log")
    expected = [BROKEN_CONNECTION, *(mark.args[0] for mark in marks)]
    records: list[str] = []
    handler = _ErrorRecorder(records)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
    unexpected = [
        line for line in records if not any(re.search(pattern, line) for pattern in expected)
    ]
    if unexpected:
        pytest.fail("unexpected ERROR log records:\n" + "\n".join(unexpected), pytrace=False)


class _ErrorRecorder(logging.Handler):
    def __init__(self, records: list[str]) -> None:
        super().__init__(level=logging.ERROR)
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(f"{record.name}: {record.getMessage()}")


def _started(local: Services, program: str) -> Services:
    assert local.stack is not None
    local.stack.up(programs=[program])
    return local
