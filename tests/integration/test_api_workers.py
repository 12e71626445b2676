"""Several workers on one port, as real processes, without any other service."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from clients.probes import wait_until
from infra.local.ports import free_ports
from schemas.settings import Settings
from scoring.http.keys.api_key import new_key
from scoring.http.keys.key_file import change_keys, key_file
from tests.api_process import WITHIN_S, ApiProcess

WORKERS = 2
ASKED = 40
"""How many new connections are enough to meet both workers."""
BODY = {"user_id": "u", "merchant_id": "m", "amount_minor": 1, "currency": "EUR"}


def settings_of(directory: Path, **changes: object) -> Settings:
    port, nothing = free_ports(2)
    return Settings.model_validate(
        {"data_dir": directory, "api_port": port, "redis_port": nothing, "mlflow_port": nothing}
        | changes
    )


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    directory = tmp_path_factory.mktemp("workers")
    process = ApiProcess(
        settings_of(directory, api_workers=WORKERS, api_keys_required=True), directory / "log"
    )
    try:
        assert wait_until(process.is_live, timeout_s=WITHIN_S), process.log.read_text()
        yield process
    finally:
        process.popen.kill()
        process.popen.wait()


@pytest.fixture(scope="module")
def headers(api: ApiProcess) -> dict[str, str]:
    """A key made while the API runs."""
    key, text = new_key(name="test", scopes=frozenset({"predict", "operate"}), created_ms=0)
    change_keys(key_file(api.settings.data_dir), lambda keys: {**keys, key.key_id: key})
    made = {"authorization": f"Bearer {text}"}

    def is_known() -> bool:
        # Each worker looks for itself, and there may be one that has just started.
        asked = [httpx.get(f"{api.address}/metrics", headers=made) for _ in range(8)]
        return all(response.status_code == 200 for response in asked)

    assert wait_until(is_known, timeout_s=WITHIN_S)
    return made


def workers(api: ApiProcess) -> set[int]:
    """Give the process ids of the workers that answer."""
    return {httpx.get(f"{api.address}/ready").json()["worker"] for _ in range(ASKED)}


def test_one_page_has_the_metrics_of_all_workers(api: ApiProcess, headers: dict[str, str]) -> None:
    assert wait_until(lambda: len(workers(api)) == WORKERS, timeout_s=WITHIN_S)
    before = predictions(api, headers)
    for _ in range(ASKED):
        response = httpx.post(f"{api.address}/predict", json=BODY, headers=headers)
        assert response.status_code == 200
    assert predictions(api, headers) - before == ASKED
    page = httpx.get(f"{api.address}/metrics", headers=headers).text
    assert f"api_workers {WORKERS}.0" in page
    assert 'name="heuristic"' in page


def predictions(api: ApiProcess, headers: dict[str, str]) -> float:
    page = httpx.get(f"{api.address}/metrics", headers=headers).text
    wanted = 'api_requests_total{route="/predict",status="200"} '
    return sum(float(line[len(wanted) :]) for line in page.splitlines() if line.startswith(wanted))


def test_a_killed_worker_is_replaced_and_its_counts_are_kept(
    api: ApiProcess, headers: dict[str, str]
) -> None:
    assert wait_until(lambda: len(workers(api)) == WORKERS, timeout_s=WITHIN_S)
    counted = predictions(api, headers)
    victim, *_ = workers(api)
    os.kill(victim, signal.SIGKILL)

    def is_replaced() -> bool:
        try:
            found = workers(api)
        except httpx.TransportError:
            return False
        return victim not in found and len(found) == WORKERS

    assert wait_until(is_replaced, timeout_s=WITHIN_S)
    assert predictions(api, headers) == counted
    assert f"api_workers {WORKERS}.0" in httpx.get(f"{api.address}/metrics", headers=headers).text


def test_without_a_key_scores_are_refused(api: ApiProcess) -> None:
    assert httpx.post(f"{api.address}/predict", json=BODY).status_code == 401


# Last, because it ends the process of the module.
def test_workers_without_a_parent_end_and_leave_the_port(api: ApiProcess) -> None:
    api.popen.kill()
    api.popen.wait()

    def is_free() -> bool:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((api.settings.api_host, api.settings.api_port))
            except OSError:
                return False
        return True

    assert wait_until(is_free, timeout_s=WITHIN_S)


def test_an_address_for_other_machines_is_refused_without_keys(tmp_path: Path) -> None:
    process = ApiProcess(settings_of(tmp_path, api_host="0.0.0.0"), tmp_path / "log")
    try:
        assert process.popen.wait(WITHIN_S) == 1
    finally:
        process.popen.kill()
        process.popen.wait()
    text = process.log.read_text()
    assert "WEIR_API_KEYS_REQUIRED=true" in text
    assert "Traceback" not in text


def test_workers_end_with_their_parent_on_sigterm(tmp_path: Path) -> None:
    process = ApiProcess(settings_of(tmp_path, api_workers=WORKERS), tmp_path / "log")
    try:
        assert wait_until(process.is_live, timeout_s=WITHIN_S), process.log.read_text()
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(WITHIN_S) == 0
    finally:
        process.popen.kill()
        process.popen.wait()
    assert "Traceback" not in process.log.read_text()
