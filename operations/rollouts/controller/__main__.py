"""Entry point of ``python -m operations.rollouts.controller``."""

import sys

from clients.program import run_until_stopped
from operations.rollouts.controller.follow import follow

NICENESS = 5
"""Decisions come first; a step up can wait for a moment."""

if __name__ == "__main__":
    sys.exit(run_until_stopped(follow, niceness=NICENESS))
