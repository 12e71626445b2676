"""Whether Kafka keeps records for as long as the archiver and first decisions need them.

A topic whose size is limited loses its oldest records. What is not in the archive by then is gone,
and a first decision whose feature row is gone cannot be repeated whole. Called by `doctor.py`;
changes nothing.
"""

from collections.abc import Mapping
from typing import Final

from clients.kafka_log import OffsetRange, offset_ranges, offsets_at
from schemas.settings import Settings
from schemas.topics import FEATURES
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


def first_rows_reach(settings: Settings, *, now_ms: int, topic: str = FEATURES) -> str:
    """Give whether Kafka has the feature rows of all first decisions that are still kept.

    Args:
        settings: where Kafka is, and how long first decisions are kept.
        now_ms: the present time, ms since 1970 UTC.
        topic: the feature log.

    Raises:
        LookupError: it has deleted rows, and the oldest that it has is newer than the oldest first
            decision may be.
        KafkaUnreachableError: no answer.
    """
    bootstrap, ttl_s = settings.kafka_bootstrap, settings.decision_ttl_s
    # Asked first: records that are deleted between the two questions are missed, not invented.
    ranges = offset_ranges(bootstrap, topic)[topic]
    young = offsets_at(bootstrap, topic, time_ms=now_ms - ttl_s * 1_000)
    short = [at for at, range_ in ranges.items() if _is_short(range_, first_young=young[at])]
    if short:
        partitions = ", ".join(map(str, short))
        raise LookupError(
            f"{topic}: Kafka has deleted rows of the last WEIR_DECISION_TTL_S={ttl_s} s in "
            f"partition {partitions}; a first decision without its row is repeated with "
            "`first_row_unavailable`"
        )
    return f"{topic} goes back further than first decisions, which are kept for {ttl_s:,} s"


def _is_short(range_: OffsetRange, *, first_young: int) -> bool:
    return 0 < range_.first < range_.end and first_young <= range_.first


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
