"""Entry point of ``python -m scoring.worker``."""

from schemas.settings import Settings
from scoring.worker.app import run
from scoring.worker.batch import Channels

if __name__ == "__main__":
    run(Settings(), Channels())
