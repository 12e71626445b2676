"""The process of the HTTP service: ``python -m scoring.http``.

Owns signals, the server's settings and its limit on requests in progress. With several workers this
process only watches over them: it starts one again that has ended or hangs.
"""

from __future__ import annotations

import logging
import signal
import sys
from typing import Any

import uvicorn

from models.errors import ModelDefinitionError
from schemas.settings import Settings
from scoring.http.app import create_app_of
from scoring.http.exposure import UnguardedApiError, check_exposure
from scoring.http.model_routes import load_routes
from scoring.http.parts import metrics_directory
from scoring.http.worker import freeze_imports, start_log
from scoring.http.worker_metrics import start_directory

REQUESTS_MAX = 1_000
"""Most requests in progress in a worker; more are refused with a 503 at once."""
SHUTDOWN_TIMEOUT_S = 5
"""Longest wait at the end of the process for requests in progress."""

log = logging.getLogger(__name__)


def main() -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in progress and exit with 0."""
    start_log()
    # After a clean shutdown, uvicorn raises the signal again for the handler that was installed
    # before its own. The default handler would kill the process; this one exits with 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: sys.exit(0))
    settings = Settings()
    try:
        check_exposure(settings)
        # Also where each worker loads them for itself: it would end, and be started again.
        load_routes(settings)
    except (UnguardedApiError, ModelDefinitionError) as error:
        log.error("%s", error)  # noqa: TRY400
        sys.exit(1)
    if settings.api_workers > 1:
        start_directory(metrics_directory(settings))
        uvicorn.run(
            "scoring.http.worker:create_worker",
            factory=True,
            workers=settings.api_workers,
            **_options(settings),
        )
    else:
        freeze_imports()
        uvicorn.run(create_app_of(settings), **_options(settings))


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "host": settings.api_host,
        "port": settings.api_port,
        "loop": "uvloop",
        "http": "httptools",
        "ws": "none",
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "limit_concurrency": REQUESTS_MAX,
        "timeout_graceful_shutdown": SHUTDOWN_TIMEOUT_S,
    }


if __name__ == "__main__":
    main()
