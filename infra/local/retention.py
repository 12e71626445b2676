"""Whether the archiver keeps ahead of the records that Kafka deletes.

A topic whose size is limited loses its oldest records, and what is not in the archive by then is
gone. Called by `doctor.py`; changes nothing.
"""

from collections.abc import Mapping
from typing import Final

from clients.kafka_log import OffsetRange, offset_ranges
from schemas.settings import Settings
from training.archive.store import ArchiveTable
from training.archive.tables import TABLES
from training.errors import NoArchiveError

SHARE_MAX: Final = 0.5
"""Largest part of the records that a limited topic still holds which may be missing from the
archive."""
RECORDS_MIN: Final = 10_000
"""Fewer missing records are no reason to warn: the archiver commits every few seconds."""


def archive_reach(settings: Settings) -> str:
    """Give how far the archive is from what Kafka deletes next.

    Raises:
        LookupError: records were deleted before they were archived, or soon will be.
        KafkaUnreachableError: no answer.
    """
    limited = settings.retention_mib()
    faults = []
    for topic, of_topic in offset_ranges(settings.kafka_bootstrap, *TABLES).items():
        table = ArchiveTable(settings.archive_url, topic)
        try:
            archived = {partition: table.next_offset(partition) for partition in of_topic}
        except NoArchiveError:
            continue
        faults += _faults(topic, of_topic, archived, is_limited=topic in limited)
    if faults:
        raise LookupError("; ".join(faults))
    kept = ", ".join(f"{topic} {mib:,} MiB" for topic, mib in limited.items())
    return f"Kafka keeps {kept or 'everything'}; the archive lacks nothing that was deleted"


def _faults(
    topic: str,
    ranges: Mapping[int, OffsetRange],
    archived: Mapping[int, int],
    *,
    is_limited: bool,
) -> list[str]:
    deleted = sum(max(0, first - archived[at]) for at, (first, _) in ranges.items())
    missing = sum(max(0, end - archived[at]) for at, (_, end) in ranges.items())
    kept = sum(end - first for first, end in ranges.values())
    if deleted:
        return [f"{topic}: {deleted:,} records were deleted before they were archived"]
    if is_limited and missing > max(RECORDS_MIN, SHARE_MAX * kept):
        return [f"{topic}: Kafka holds {kept:,} records, of which {missing:,} are not archived"]
    return []
