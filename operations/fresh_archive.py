"""Brings the archive up to date before its labels are counted on.

Maturity goes by the clock: a row that is old enough and has no label is legitimate. So every label
that has reached Kafka must be in the archive by then, also while the archiver is down or behind.
Called by the training run and by `weir dataset build`.
"""

from __future__ import annotations

import logging

from clients.errors import KafkaUnreachableError
from schemas.settings import Settings
from schemas.topics import LABELS
from training.archive.archiver import fill_archive
from training.archive.store import ArchiveTable
from training.errors import OtherLogError

logger = logging.getLogger(__name__)


def bring_up_to_date(settings: Settings) -> None:
    """Archive what is in the logs now, beside a running archiver if there is one.

    An archive whose log is lost, or a copy of one, has all that there will be. Without Kafka it is
    not known what is missing; a warning says so.

    Raises:
        NoArchiveError: nothing has been archived yet.
        ArchiveConflictError: other archivers won every attempt.
        ArchiveUnreachableError: the storage failed.
    """
    assert ArchiveTable(settings.archive_url, LABELS).delta is not None
    try:
        fill_archive(settings)
    except OtherLogError:
        logger.info("the archive at %s follows another log and is complete", settings.archive_url)
    except KafkaUnreachableError as error:
        logger.warning(
            "labels that have not been archived are unknown, and their transactions count as "
            "legitimate once they are mature: %s",
            error,
        )
