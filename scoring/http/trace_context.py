"""W3C trace context: from the headers of a request to its answer and to the lines of the log.

FastAPI itself makes a span for each request if an OpenTelemetry SDK is configured. Without one
there is no span of ours, and the context of the client goes through unchanged. Headers that are not
valid are ignored, as W3C asks. Installed by `scoring.http.app`; the entry points install
`TraceInLog`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TRACE_HEADERS: Final = ("traceparent", "tracestate")
_NAMES: Final = tuple(name.encode() for name in TRACE_HEADERS)
_W3C: Final = TraceContextTextMapPropagator()
_CONTEXT: Final = "weir.trace_context"


class TraceContext:
    """ASGI middleware: a request's trace context holds during its answer, and is in it."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its context; without one, as it is."""
        if scope["type"] != "http" or (context := _context_of(scope)) is None:
            await self._app(scope, receive, send)
            return
        headers = [(name.encode(), value.encode()) for name, value in _headers(context).items()]
        scope[_CONTEXT] = context

        async def send_with_context(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        with _attached(context):
            await self._app(scope, receive, send_with_context)


class TraceInLog(logging.Filter):
    """Gives every record of the log the attribute ``trace``: `` trace=ID``, or nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the attribute; keeps every record."""
        context = trace.get_current_span().get_span_context()
        record.trace = f" trace={context.trace_id:032x}" if context.is_valid else ""
        return True


@contextmanager
def context_of(request: Request) -> Iterator[Mapping[str, str]]:
    """Restore the context of a request outside of the middleware; gives the headers to answer."""
    context = request.scope.get(_CONTEXT)
    if context is None:
        yield {}
        return
    with _attached(context):
        yield _headers(context)


def _context_of(scope: Scope) -> Context | None:
    """Give the context of FastAPI's span, else of the client, else None."""
    if trace.get_current_span().get_span_context().is_valid:
        return otel_context.get_current()
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name in _NAMES:
            key, text = name.decode(), value.decode("latin-1")
            found[key] = f"{found[key]},{text}" if key in found else text
    if "traceparent" not in found:
        return None
    context = _W3C.extract(found)
    is_valid = trace.get_current_span(context).get_span_context().is_valid
    return context if is_valid else None


def _headers(context: Context) -> dict[str, str]:
    headers: dict[str, str] = {}
    _W3C.inject(headers, context)
    return headers


@contextmanager
def _attached(context: Context) -> Iterator[None]:
    token = otel_context.attach(context)
    try:
        yield
    finally:
        otel_context.detach(token)
