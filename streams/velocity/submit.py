"""Submits the velocity job once, then ends.

``keep_running.py`` runs this module as a child process when the job is missing, so that the JVM
that PyFlink starts does not stay.
"""

import logging

from schemas.settings import Settings
from streams.velocity import job as velocity_job
from streams.velocity.cluster import JOB_NAME, choose_start

log = logging.getLogger(__name__)


def submit(settings: Settings) -> None:
    """Submit the job; return when the cluster has accepted it."""
    start = choose_start(settings)
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
