"""The worker as an operating-system process: how it ends after an error, and garbage collection.

Knows nothing of Faust or of scoring. Called by ``app.py``.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading

logger = logging.getLogger(__name__)

GC_THRESHOLDS = (20_000, 20, 100)
"""Thresholds of Python's garbage collector. A batch leaves no cycles behind, so the default of one
collection for 700 new objects is not needed."""
EXIT_BUG = 70
"""Exit code after an unexpected error (EX_SOFTWARE); the supervisor restarts the process."""


def end_process(reason: str) -> None:
    """End at once, without clean-up that could hang, swallow the error, or commit offsets.

    Safe at any time: decisions are stored before they are emitted, and offsets are committed last.
    """
    logger.critical("the scorer ends: %s", reason)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(EXIT_BUG)


def end_on_thread_errors() -> None:
    """End the process when a thread fails.

    A thread that dies silently would stop model updates or delivery reports.
    """
    threading.excepthook = _on_thread_error


def collect_young_garbage_only() -> None:
    """Exclude the present objects from garbage collection; call it after start-up.

    Imported modules stay for ever. Scanning them in every full collection took a sixth of the
    worker's time and stopped all decisions meanwhile.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _on_thread_error(error: threading.ExceptHookArgs) -> None:
    logger.critical(
        "thread %s failed",
        error.thread.name if error.thread else "?",
        exc_info=(error.exc_type, error.exc_value or error.exc_type(), error.exc_traceback),
    )
    end_process("an unexpected error in a thread")
