"""An HTTP client of an application in this process: no socket, no thread, no server.

Runs the application's start-up and shutdown around the requests. An error that the
application does not handle is answered as a server would: with a 500.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self

import httpx
from fastapi import FastAPI


class AsgiClient:
    """Requests, one after the other, between entering and leaving."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._runner = asyncio.Runner()
        self._lifespan: AbstractAsyncContextManager[Any] | None = None
        self._http: httpx.AsyncClient | None = None

    def __enter__(self) -> Self:
        self._lifespan = self._app.router.lifespan_context(self._app)
        self._runner.run(self._lifespan.__aenter__())
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://test")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._http is not None
        assert self._lifespan is not None
        self._runner.run(self._http.aclose())
        self._runner.run(self._lifespan.__aexit__(None, None, None))
        self._runner.close()

    def request(self, method: str, path: str, **sent: Any) -> httpx.Response:
        assert self._http is not None, "use it in a with statement"
        return self._runner.run(self._http.request(method, path, **sent))

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(self, path: str, **sent: Any) -> httpx.Response:
        return self.request("POST", path, **sent)
