"""How a program of the stack runs: until it is told to stop, with one line for an error.

The programs that follow something (the archiver, the label checker, the materializer, the keeper of
the velocity job) share it. It imports no client library.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable

from schemas.errors import WeirError
from schemas.settings import Settings

logger = logging.getLogger(__name__)

LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def run_until_stopped(
    work: Callable[[Settings, threading.Event], None], *, niceness: int = 0
) -> int:
    """Log to stderr and work until SIGTERM or SIGINT; gives the exit code.

    Args:
        work: with the settings of the environment, until the event is set; soon after that it
            returns.
        niceness: added to the priority of the process.

    Returns:
        0, or 1 after a `WeirError`, whose text is in the log. Another error is a bug and is raised.
    """
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    os.nice(niceness)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        work(Settings(), stop)
    except WeirError as error:
        logger.error("%s: %s", type(error).__name__, error)  # noqa: TRY400 - its text is enough
        return 1
    return 0
