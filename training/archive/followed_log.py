"""Which log a table follows: the ids of its topic are properties of the table.

A row is named by its partition and offset, which mean nothing in another log. So the archive
refuses a topic with other ids: a new broker after a lost disk, or a topic that was deleted and
created again. Called by everything that puts the archive beside a log.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, NamedTuple, NoReturn

import pyarrow as pa

from clients.kafka_log import OffsetRange, TopicLog
from clients.topic_description import LogIdentity, describe_topics
from schemas.settings import Settings
from schemas.transaction import Limits
from training.archive.columns import to_batches
from training.archive.scan import scan_ranges
from training.archive.store import ArchiveTable
from training.errors import OtherLogError

logger = logging.getLogger(__name__)

SAMPLE_OFFSETS: Final = 100
"""The newest archived offsets of a partition whose rows are compared with the log at each start."""

_SAMPLED: Final = ["log_partition", "log_offset", "log_timestamp_ms", "transaction_id"]

WHAT_TO_DO: Final = (
    "Nothing was changed. If the log that the archive follows is lost, the archive is the only "
    "copy of its rows: copy {url} to a safe place first. Then choose: point WEIR_KAFKA_BOOTSTRAP "
    "at the log that the archive follows; or keep this archive as it is and set WEIR_ARCHIVE_URL "
    "to a new place for the present log; or give up the archived rows that the present log lacks "
    "with `weir archive rebuild --accept-lost-rows`"
)


def check_identity(url: str, table: ArchiveTable, found: LogIdentity) -> None:
    """Refuse another log than the one a table follows; accept any if the table follows none yet.

    A rebuild that was killed right after it swapped the table leaves rows of the present log under
    the ids of the former one. They are accepted as well.

    Args:
        url: of the archive, for the message.
        table: of the archive.
        found: the topic of the table's name as it is now.

    Raises:
        OtherLogError: the ids differ.
    """
    followed = table.followed
    if followed not in (None, found) and table.swapped_in() != found:
        _refuse(
            url,
            f"the archive table {table.name} follows the log with {followed}, but the topic "
            f"{table.name} is now the log with {found}: other records have its offsets",
        )


def check_followed(settings: Settings, *names: str) -> None:
    """Refuse tables that follow another log than the present one.

    Raises:
        OtherLogError: a table does.
        NoArchiveError: there is no such table.
        KafkaUnreachableError: no answer.
    """
    found = describe_topics(settings.kafka_bootstrap, *names)
    for name in names:
        table = ArchiveTable(settings.archive_url, name)
        check_identity(settings.archive_url, table, found[name].identity)


def check_ends(
    settings: Settings, table: ArchiveTable, ranges: Mapping[int, OffsetRange]
) -> Mapping[int, int]:
    """Refuse a log that ends before its table does; gives where the table ends, by partition.

    Args:
        settings: where archive and log are, for the message.
        table: of the archive, opened before the offsets were asked for.
        ranges: the offsets of the log, by partition.

    Raises:
        OtherLogError: a partition of the log ends earlier, or is missing.
        NoArchiveError: there is no such table, or one of its files is missing.
    """
    ends = {partition: table.next_offset(partition) for partition in ranges}
    ends |= table.next_offsets()
    for partition, end in ends.items():
        _, log_end = ranges.get(partition, OffsetRange(0, 0))
        if end > log_end:
            _refuse(
                settings.archive_url,
                f"the archive of {table.name} partition {partition} goes to offset {end}, the log "
                f"at {settings.kafka_bootstrap} ends at {log_end}: it is another log, or it has "
                "lost its end",
            )
    return {partition: end for partition, end in ends.items() if end}


def follow_log(
    settings: Settings,
    table: ArchiveTable,
    found: LogIdentity,
    ranges: Mapping[int, OffsetRange],
) -> None:
    """Refuse another log than the one a table follows; note the log if the table follows none.

    The newest archived rows of each partition are compared with the log as well. This finds what
    ids do not tell: a log that was cut off and has grown again, as after a broker was restored
    from a backup. An archive from before the ids were noted adopts the log if the rows agree.

    Args:
        settings: where archive and log are.
        table: of the archive, as of its last opening.
        found: the topic of the table's name as it is now.
        ranges: its offsets, by partition.

    Raises:
        OtherLogError: the ids differ, the archive goes beyond the end of the log, a row differs, or
            there are rows, but neither ids nor a row to compare.
        ArchiveConflictError: another process is writing the table.
        KafkaUnreachableError: no answer.
    """
    check_identity(settings.archive_url, table, found)
    ends = check_ends(settings, table, ranges)
    compared = _compare_newest(settings, table, ends=ends, ranges=ranges)
    if table.followed == found:
        return
    if table.followed is not None:
        logger.warning("%s: completing a rebuild that was killed: it follows %s", table.name, found)
        table.follow(found)
        return
    if ends and not compared:
        _refuse(
            settings.archive_url,
            f"the archive table {table.name} does not say which log it follows, and the log at "
            f"{settings.kafka_bootstrap} holds none of its newest records, so it may be another",
        )
    table.follow(found)
    if ends:
        logger.warning(
            "%s: the archive did not say which log it follows; its newest %d rows are in the log "
            "with %s, which it follows from now on",
            *(table.name, compared, found),
        )


def _compare_newest(
    settings: Settings,
    table: ArchiveTable,
    *,
    ends: Mapping[int, int],
    ranges: Mapping[int, OffsetRange],
) -> int:
    """Compare the newest rows with the log; gives how many there were to compare."""
    wanted = {
        partition: OffsetRange(max(ranges[partition].first, end - SAMPLE_OFFSETS), end)
        for partition, end in ends.items()
        if ranges[partition].first < end
    }
    archived = _by_place(scan_ranges(table, _SAMPLED, wanted)) if wanted else {}
    logged = _logged(settings, table.name, wanted) if archived else {}
    both = archived.keys() & logged.keys()
    for place in sorted(both):
        if not _is_same(archived[place], logged[place]):
            _refuse(
                settings.archive_url,
                f"the archive of {table.name} and the log at {settings.kafka_bootstrap} hold "
                f"different records at partition {place[0]}, offset {place[1]}: it is another log, "
                "or it has lost its end and grown again",
            )
    return len(both)


class _Sampled(NamedTuple):
    """Kafka's timestamp of a record, and its transaction if the record was readable."""

    timestamp_ms: int
    transaction_id: str | None


_Sample = dict[tuple[int, int], _Sampled]
"""By partition and offset."""


def _is_same(archived: _Sampled, logged: _Sampled) -> bool:
    # Which records are readable may differ between the versions of the code.
    is_known = None not in (archived.transaction_id, logged.transaction_id)
    return archived == logged if is_known else archived.timestamp_ms == logged.timestamp_ms


def _by_place(rows: pa.Table) -> _Sample:
    partitions, offsets, times, ids = (rows[name].to_pylist() for name in _SAMPLED)
    sampled = map(_Sampled, times, ids)
    return dict(zip(zip(partitions, offsets, strict=True), sampled, strict=True))


def _logged(settings: Settings, name: str, wanted: Mapping[int, OffsetRange]) -> _Sample:
    limits = Limits.from_settings(settings)
    sample: _Sample = {}
    with TopicLog(settings.kafka_bootstrap, name) as log:
        for partition, (first, end) in wanted.items():
            records = list(log.read(partition, first=first, end=end, values_only=True))
            for batch in to_batches(name, records, limits=limits):
                sample |= _by_place(pa.Table.from_batches([batch]))
    return sample


def _refuse(url: str, what: str) -> NoReturn:
    raise OtherLogError(f"{what}. {WHAT_TO_DO.format(url=url)}")
