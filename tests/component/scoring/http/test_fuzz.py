"""schemathesis over the whole OpenAPI document: no 5xx, no answer outside its schema.

Few requests by default, thousands with the profile ``fuzz`` (`make fuzz`). The application is the
real one; the store in memory answers, or is down. Values come from the document, valid and invalid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.transport import Response
from schemathesis.specs.openapi import checks

from models.heuristic import HEURISTIC
from schemas.output_codec import encode_decision
from scoring.http.app import create_app
from tests.api_service import Service
from tests.asgi_client import AsgiClient
from tests.builders import DECISION, NOW_MS

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
IS_LONG = hypothesis.settings.get_current_profile_name() == "fuzz"
CASES_MIN = 5_000
"""Requests of one run of `make fuzz`."""
SENT: Counter[str] = Counter()


def whole_service() -> Service:
    service = Service()
    service.remember_user("u-1", NOW_MS)
    service.remember_merchant("m-1", NOW_MS)
    service.reader.decisions["t-1"] = encode_decision(DECISION)
    return service


def broken_service() -> Service:
    service = Service()
    service.reader.is_down = True
    service.models.model = HEURISTIC
    return service


WHOLE = AsgiClient(create_app(whole_service()._parts))
BROKEN = AsgiClient(create_app(broken_service()._parts))
# The systematic requests are a thousand; they belong to the long run.
CONFIG = SchemathesisConfig.from_dict({"phases": {"coverage": {"enabled": IS_LONG}}})
DOCUMENT = schemathesis.openapi.from_dict(
    create_app(whole_service()._parts).openapi(), config=CONFIG
)
# Without Redis the other routes answer 503, as documented.
SCORES = DOCUMENT.include(path_regex="^/predict")


@pytest.fixture(scope="module")
def whole() -> Iterator[AsgiClient]:
    with WHOLE:
        yield WHOLE


@pytest.fixture(scope="module")
def broken() -> Iterator[AsgiClient]:
    with BROKEN:
        yield BROKEN


def ask(case: schemathesis.Case, client: AsgiClient) -> None:
    SENT[case.operation.label] += 1
    sent = requests.Request(**case.as_transport_kwargs(base_url="http://test")).prepare()
    headers = [(as_bytes(name), as_bytes(value)) for name, value in sent.headers.items()]
    assert sent.method is not None
    assert sent.url is not None
    response = client.request(sent.method, sent.url, headers=headers, content=sent.body)
    case.validate_response(Response.from_httpx(response, verify=False), checks=CHECKS)


def as_bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


@DOCUMENT.parametrize()
def test_every_answer_is_as_documented(case: schemathesis.Case, whole: AsgiClient) -> None:
    ask(case, whole)


@SCORES.parametrize()
def test_every_transaction_gets_an_answer_without_redis_and_model(
    case: schemathesis.Case, broken: AsgiClient
) -> None:
    ask(case, broken)


def test_a_long_run_sends_enough_requests() -> None:
    print(f"\n{SENT.total()} requests: {dict(SENT)}")
    if not IS_LONG:
        pytest.skip("only `make fuzz` sends so many")
    assert SENT.total() >= CASES_MIN
