"""The process of the HTTP service: ``python -m scoring.http``.

Owns signals, the server's settings and its limit on requests in progress.
"""

from __future__ import annotations

import gc
import logging
import signal
import sys

import uvicorn

from schemas.settings import Settings
from scoring.http.app import create_app
from scoring.http.parts import open_api_parts

REQUESTS_MAX = 1_000
"""Most requests in progress; more are refused with a 503 at once."""
SHUTDOWN_TIMEOUT_S = 5
"""Longest wait at the end of the process for requests in progress."""


def main() -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in progress and exit with 0."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # After a clean shutdown, uvicorn raises the signal again for the handler that was installed
    # before its own. The default handler would kill the process; this one exits with 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: sys.exit(0))
    settings = Settings()
    # Imported objects live until the end of the process. Without the freeze, each collection of
    # Python's oldest generation would scan them and stop all requests for about 50 ms.
    gc.collect()
    gc.freeze()
    uvicorn.run(
        create_app(lambda: open_api_parts(settings)),
        host=settings.api_host,
        port=settings.api_port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        limit_concurrency=REQUESTS_MAX,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
    )


if __name__ == "__main__":
    main()
