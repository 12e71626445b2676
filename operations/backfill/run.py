"""The backfill: rows and states of changed definitions, computed from the archive.

Puts the parts together: the archive's rows and labels, the folds on Flink, the table of backfilled
rows, Redis, and the state that the velocity job starts from. What is complete since when is part
of what it says.
"""

import json
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from clients.kafka_log import end_offsets
from features.definitions import DEFINITION_DIGEST
from operations.backfill.fold import FlinkClient, fold
from schemas.errors import RetryableError, WeirError
from schemas.settings import Settings
from schemas.topics import LABELS, TRANSACTIONS
from schemas.transaction import Limits
from streams.velocity.cluster import (
    GROUP_ID,
    Start,
    checkpoints_dir,
    install_seed,
    job_state,
    read_seed,
    stored_digest,
)

ANSWER_S_MAX: Final = 10.0


class FlinkUnreachableError(RetryableError):
    """Flink's JobManager does not answer."""


class VelocityJobRunningError(WeirError):
    """The velocity job runs; a backfill needs its place, and its state must not move meanwhile."""


class NoCommittedOffsetsError(WeirError):
    """Kafka does not know how far the velocity job had read."""


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What a backfill did.

    Attributes:
        definition_digest: of the rows and states that it made.
        rows: backfilled rows in the archive; each stands for a row of other definitions.
        folded: transactions that were folded for them.
        labels: that were folded.
        compared: values of features that both definitions have, old and new.
        different: those of them that are not equal; should be 0.
        first_event_ms: earliest event time that is known, ms since 1970 UTC.
        complete_since_ms: by feature, the event time from which on its whole window is known.
        is_seeded: whether Redis and the state of the velocity job were made.
        next_offsets: where the velocity job goes on, by topic and partition; empty if it was not
            seeded.
    """

    definition_digest: str
    rows: int
    folded: int
    labels: int
    compared: int
    different: int
    first_event_ms: int
    complete_since_ms: Mapping[str, int]
    is_seeded: bool
    next_offsets: Mapping[str, Mapping[int, int]]


def run_backfill(
    settings: Settings, client: FlinkClient, *, say: Callable[[str], object]
) -> BackfillReport:
    """Do what `weir backfill` does; see `BackfillReport` for what comes of it.

    Doing it again, also after it was killed, gives the same: the rows are one commit, writes to
    Redis are guarded, and the job's state is noted last.

    Raises:
        NoArchiveError: nothing has been archived.
        NoFeatureRowsError: the archive has no row to compute again.
        FlinkUnreachableError: Flink does not answer.
        VelocityJobRunningError: the velocity job runs.
        NoCommittedOffsetsError: how far the old job had read is not known.
        BackfillFailedError: the folds failed.
        BackfillMismatchError: other rows came out than went in.
    """
    # Imported here: pandas and deltalake take a second that no other command should wait for.
    from training.archive import backfill_input, backfilled  # noqa: PLC0415
    from training.archive.archiver import fill_archive  # noqa: PLC0415
    from training.archive.backfill_status import complete_since_ms  # noqa: PLC0415
    from training.archive.store import ArchiveTable  # noqa: PLC0415
    from training.archive.tables import BACKFILLED  # noqa: PLC0415

    seeds = stored_digest(settings) != DEFINITION_DIGEST
    backfill_input.folded_rows(settings.archive_url, until=None)
    fill_archive(settings)
    # What lies behind an earlier seed is the velocity job's to compute, if it has not yet.
    earlier = (read_seed(settings) or Start()).next_offsets
    offsets = _committed(settings) if seeds else earlier
    folded = backfill_input.folded_rows(settings.archive_url, until=offsets.get(TRANSACTIONS))
    if not seeds and backfilled.is_backfilled(settings.archive_url, folded):
        return _nothing()
    _check_flink(settings)
    labels = backfill_input.folded_labels(settings.archive_url, until=offsets.get(LABELS))
    say(f"folding {len(folded):,} transactions and {len(labels):,} labels")
    scratch, savepoint = _directories(settings, seeds=seeds)
    try:
        values = fold(
            client,
            folded=folded,
            labels=labels,
            scratch=scratch,
            savepoint=savepoint,
        )
        limits = Limits.from_settings(settings)
        rows = backfilled.backfilled_rows(values, folded, limits=limits)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    compared = backfilled.compare_with_old(settings.archive_url, rows)
    first_event_ms = int(min(folded["event_time_ms"].to_numpy()))
    report = BackfillReport(
        definition_digest=DEFINITION_DIGEST,
        rows=len(rows),
        folded=len(folded),
        labels=len(labels),
        compared=compared.compared,
        different=compared.different,
        first_event_ms=first_event_ms,
        complete_since_ms=complete_since_ms(first_event_ms),
        is_seeded=seeds,
        next_offsets=offsets if seeds else {},
    )
    metadata = {"weir.backfill": json.dumps(asdict(report))}
    ArchiveTable(settings.archive_url, BACKFILLED).replace(rows, metadata=metadata)
    if savepoint is not None:
        install_seed(settings, savepoint=savepoint, next_offsets=offsets)
    return report


def _directories(settings: Settings, *, seeds: bool) -> tuple[Path, Path | None]:
    """Make a scratch directory, and name one for the savepoint, which Flink makes.

    Their names are new: the job of a backfill that was killed may still be running, and must not
    write where this one does. What earlier ones have left is deleted.
    """
    root = checkpoints_dir(settings).parent
    old = [*root.glob("backfill-*"), *(root.glob("seed-*") if seeds else ())]
    for left in old:
        shutil.rmtree(left, ignore_errors=True)
    token = uuid.uuid4().hex[:12]
    scratch = root / f"backfill-{token}"
    scratch.mkdir(parents=True)
    return scratch, root / f"seed-{token}" if seeds else None


def _check_flink(settings: Settings) -> None:
    try:
        state = job_state(settings.flink_rest_url)
    except OSError as error:
        raise FlinkUnreachableError(
            f"Flink at {settings.flink_rest_url} does not answer: {error}; start the stack with "
            "`weir up`, whose velocity job will refuse to start until the backfill is done"
        ) from error
    if state is not None:
        raise VelocityJobRunningError(
            f"the velocity job is {state} on {settings.flink_rest_url}; stop the stack with "
            "`weir down`, start it with the new definitions and run the backfill then"
        )


def _committed(settings: Settings) -> Mapping[str, Mapping[int, int]]:
    """Where the old job's newest checkpoint has read to: what comes later the new job will do."""
    from confluent_kafka import Consumer, KafkaException, TopicPartition  # noqa: PLC0415

    ends = {topic: end_offsets(settings.kafka_bootstrap, topic) for topic in (TRANSACTIONS, LABELS)}
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka_bootstrap, "group.id": GROUP_ID, "log_level": 0}
    )
    places = [
        TopicPartition(topic, number) for topic, of_topic in ends.items() for number in of_topic
    ]
    try:
        found = consumer.committed(places, timeout=ANSWER_S_MAX)
    except KafkaException as error:
        raise NoCommittedOffsetsError(
            f"Kafka at {settings.kafka_bootstrap} does not say how far the velocity job had read: "
            f"{error!s:.200}; try again"
        ) from error
    finally:
        consumer.close()
    if all(place.offset < 0 for place in found):
        raise NoCommittedOffsetsError(
            f"the consumer group {GROUP_ID} at {settings.kafka_bootstrap} has committed nothing, "
            "or so long ago that Kafka has forgotten it; remove "
            f"{checkpoints_dir(settings).parent} to compute every row again from the topics"
        )
    committed: dict[str, dict[int, int]] = {topic: {} for topic in ends}
    for place in found:
        committed[place.topic][place.partition] = max(place.offset, 0)
    return committed


def _nothing() -> BackfillReport:
    return BackfillReport(DEFINITION_DIGEST, 0, 0, 0, 0, 0, 0, {}, is_seeded=False, next_offsets={})
