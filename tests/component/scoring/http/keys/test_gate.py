"""API keys in front of the routes: who is let in, who is refused, and with which words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from scoring.http.keys.api_key import SCOPES, Scope, new_key
from scoring.http.keys.gate import Gate
from scoring.http.keys.key_file import LOOK_MS, KeyFile, change_keys, key_file
from tests.api_service import Service, assert_problem
from tests.builders import NOW_MS, transaction_object


class Guarded:
    """A service that asks for keys, its file of keys, and a clock that a test moves."""

    def __init__(self, directory: Path, *, rate_per_s: int = 0, workers: int = 1) -> None:
        self.file = key_file(directory)
        self.now_ms = 0.0
        self.service = Service()
        self.service.remember_user("u-1", NOW_MS)
        self.service.gate = Gate(
            KeyFile(self.file, clock_ms=lambda: self.now_ms),
            rate_per_s=rate_per_s,
            workers=workers,
            clock_ms=lambda: self.now_ms,
        )

    def make_key(self, *scopes: Scope, rate_per_s: int | None = None) -> str:
        key, text = new_key(
            name="test", scopes=frozenset(scopes or SCOPES), created_ms=0, rate_per_s=rate_per_s
        )
        change_keys(self.file, lambda keys: {**keys, key.key_id: key})
        self.now_ms += LOOK_MS
        return text

    def get(self, path: str, key: str | None) -> httpx.Response:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return self.service.client.request("GET", path, headers=headers)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    guarded = Guarded(tmp_path)
    with guarded.service.client:
        yield guarded


SCOPED_ROUTES: dict[Scope, str] = {"read": "/features/u-1", "operate": "/metrics"}


@pytest.mark.parametrize("scope", SCOPED_ROUTES)
def test_a_key_opens_the_routes_of_its_scope_and_no_others(guarded: Guarded, scope: Scope) -> None:
    key = guarded.make_key(scope)
    for other, path in SCOPED_ROUTES.items():
        response = guarded.get(path, key)
        if other == scope:
            assert response.status_code == 200
        else:
            assert_problem(response, 403, f"has not the scope {other}")
            challenge = response.headers["www-authenticate"]
            assert challenge.endswith(f'error="insufficient_scope", scope="{other}"')


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_scores_need_the_scope_predict(guarded: Guarded, path: str) -> None:
    sent: dict[str, Any] = {"json": transaction_object()}
    if path == "/predict/batch":
        sent = {"json": {"transactions": [transaction_object()]}}
    for scope, status in (("predict", 200), ("read", 403)):
        headers = {"authorization": f"bEARER  {guarded.make_key(scope)}"}
        response = guarded.service.client.post(path, headers=headers, **sent)
        assert response.status_code == status


def test_without_a_key_nothing_is_told_but_that_the_process_lives(guarded: Guarded) -> None:
    for path in ("/features/u-1", "/decisions/t-1", "/metrics"):
        response = guarded.get(path, None)
        assert_problem(response, 401, "needs an API key")
        assert response.headers["www-authenticate"] == 'Bearer realm="weir"'
    for path in ("/health", "/ready", "/openapi.json", "/docs", "/"):
        assert guarded.get(path, None).status_code == 200
    assert_problem(guarded.service.client.post("/predict", content=b"{"), 401)


@pytest.mark.parametrize("authorization", ["", "Basic dTpw", "Bearer", "Bearer ", "weir_1_2"])
def test_other_authorization_is_no_key(guarded: Guarded, authorization: str) -> None:
    guarded.make_key()
    response = guarded.service.client.request(
        "GET", "/metrics", headers={"authorization": authorization}
    )
    assert_problem(response, 401)


def test_a_key_that_is_nearly_right_is_refused(guarded: Guarded) -> None:
    key = guarded.make_key()
    other = guarded.make_key()
    for wrong in (key[:-1], key + "A", key[:18] + other[18:], key.upper(), "weir_" + "0" * 12):
        response = guarded.get("/metrics", wrong)
        assert_problem(response, 401, "not valid")
        assert 'error="invalid_token"' in response.headers["www-authenticate"]
    assert guarded.get("/metrics", key).status_code == 200


def test_a_revoked_key_is_refused_within_a_second(guarded: Guarded) -> None:
    key = guarded.make_key()
    assert guarded.get("/metrics", key).status_code == 200
    change_keys(guarded.file, lambda keys: {})
    guarded.now_ms += LOOK_MS - 1
    assert guarded.get("/metrics", key).status_code == 200
    guarded.now_ms += 1
    assert_problem(guarded.get("/metrics", key), 401)


@pytest.mark.expects_error_log("api-keys.json cannot be used")
def test_a_broken_file_leaves_the_keys_that_were_valid(guarded: Guarded) -> None:
    key = guarded.make_key()
    assert guarded.get("/metrics", key).status_code == 200
    guarded.file.write_text("{")
    guarded.now_ms += LOOK_MS
    assert guarded.get("/metrics", key).status_code == 200


def test_a_key_above_its_rate_is_told_how_long_to_wait(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, rate_per_s=4, workers=2)
    with guarded.service.client:
        key, quick = guarded.make_key(), guarded.make_key(rate_per_s=100)
        # This worker grants half of the rate, and two seconds of it at once.
        assert [guarded.get("/metrics", key).status_code for _ in range(4)] == [200] * 4
        response = guarded.get("/metrics", key)
        assert_problem(response, 429, "more than 4 requests/s")
        assert response.headers["retry-after"] == "1"
        assert guarded.get("/metrics", quick).status_code == 200
        guarded.now_ms += 500
        statuses = [guarded.get("/metrics", key).status_code for _ in range(2)]
        assert statuses == [200, 429]


def test_a_batch_uses_up_the_rate_of_its_transactions(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, rate_per_s=2)
    with guarded.service.client:
        headers = {"authorization": f"Bearer {guarded.make_key()}"}
        body = {"transactions": [transaction_object()] * 1_000}
        post = guarded.service.client.post
        assert post("/predict/batch", json=body, headers=headers).status_code == 200
        response = post("/predict/batch", json=body, headers=headers)
        assert_problem(response, 429)
        # Of 4 tokens, 10 were used: 7 are missing at 2 a second.
        assert response.headers["retry-after"] == "4"
