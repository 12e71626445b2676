"""W3C trace context: from the request to the answer and to the log, with and without an SDK."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from scoring.http.trace_context import TraceInLog
from tests.api_service import Service, assert_problem
from tests.builders import transaction_object

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def ask(service: Service, *headers: tuple[str, str], path: str = "/health") -> Any:
    return service.client.request("GET", path, headers=list(headers))


def test_the_context_of_the_client_is_in_the_answer(service: Service) -> None:
    response = ask(service, ("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2"))
    assert response.headers["traceparent"] == PARENT
    assert response.headers["tracestate"] == "a=1,b=2"


def test_a_problem_has_the_context_too(service: Service) -> None:
    response = ask(service, ("traceparent", PARENT), path="/features/nobody")
    assert_problem(response, 404)
    assert response.headers["traceparent"] == PARENT


@pytest.mark.parametrize("header", ["", "00-0-0-00", f"00-{'0' * 32}-00f067aa0ba902b7-01", "\xff"])
def test_a_context_that_is_not_valid_is_ignored(service: Service, header: str) -> None:
    response = service.client.request(
        "GET", "/health", headers={b"traceparent": header.encode("latin-1")}
    )
    assert response.status_code == 200
    assert "traceparent" not in response.headers


def test_without_a_context_the_answer_has_none(service: Service) -> None:
    assert "traceparent" not in ask(service).headers


@pytest.mark.expects_error_log("POST /predict failed")
def test_a_bug_is_logged_with_the_trace_of_its_request(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    async def read_many(*arguments: Any, **named: Any) -> Any:
        raise ZeroDivisionError

    service.reader.read_many = read_many  # type: ignore[method-assign]
    caplog.handler.addFilter(TraceInLog())
    with caplog.at_level(logging.ERROR):
        response = service.client.post(
            "/predict", json=transaction_object(), headers={"traceparent": PARENT}
        )
    assert_problem(response, 500)
    assert response.headers["traceparent"] == PARENT
    (record,) = (record for record in caplog.records if "failed" in record.message)
    assert record.trace == f" trace={TRACE}"  # type: ignore[attr-defined]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


def test_with_an_sdk_the_answer_names_the_span_of_the_request(
    spans: InMemorySpanExporter, service: Service
) -> None:
    response = ask(service, ("traceparent", PARENT), path="/features/nobody")
    (span,) = spans.get_finished_spans()
    assert span.name == "GET /features/{user_id}"
    assert span.parent is not None
    assert f"{span.parent.trace_id:032x}" == TRACE
    assert span.context is not None
    assert response.headers["traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01"
