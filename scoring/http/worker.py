"""One worker of an API with several: the application that uvicorn builds in each process.

Owns what a process needs around the application: its log, its garbage collector, and its end when
its parent has ended. Called by uvicorn's supervisor by the name in `scoring.http.__main__`.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import time

from fastapi import FastAPI

from schemas.settings import Settings
from scoring.http.app import create_app_of
from scoring.http.trace_context import TraceInLog

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s%(trace)s"
PARENT_CHECK_S = 0.2


def start_log() -> None:
    """Write the log to standard error, with the trace of the request that a line is about."""
    handler = logging.StreamHandler()
    handler.addFilter(TraceInLog())
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, handlers=[handler])


def freeze_imports() -> None:
    """Leave imported objects out of garbage collections.

    They live until the end of the process. Each collection of Python's oldest generation would scan
    them and stop all requests for about 50 ms.
    """
    gc.collect()
    gc.freeze()


def create_worker() -> FastAPI:
    """Make the application of this process; its settings are those of the parent."""
    start_log()
    settings = Settings()
    freeze_imports()
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    return create_app_of(settings)


def _end_with_parent(parent: int) -> None:
    # A parent that is killed cannot end its workers, and they would keep the port.
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    os.kill(os.getpid(), signal.SIGTERM)
