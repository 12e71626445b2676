"""Submits the velocity job once; starts a JVM, so it does not stay.

``keep_running.py`` runs it as a process of its own whenever the job is not there.
"""

import logging

from schemas.settings import Settings
from streams.velocity import job as velocity_job
from streams.velocity.cluster import JOB_NAME, start_of

log = logging.getLogger(__name__)


def submit(settings: Settings) -> None:
    """Submit the job and return as soon as the cluster has accepted it."""
    start = start_of(settings)
    log.info("submitting %s from %s", JOB_NAME, start.restore_from or "the beginning of the topics")
    env = velocity_job.environment(settings, restore_from=start.restore_from)
    velocity_job.build(env, settings, next_offsets=start.next_offsets)
    env.execute_async(JOB_NAME)


def main() -> None:
    """Entry point."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    submit(Settings())


if __name__ == "__main__":
    main()
