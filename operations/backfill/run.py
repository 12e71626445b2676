"""Runs a backfill: rows and states of changed definitions, computed from the archive.

Puts the parts in order: the archive's rows and labels, the folds on Flink, the table of backfilled
rows, Redis, and the state that the velocity job starts from. Called by `weir backfill`.
"""

import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from features.definitions import DEFINITION_DIGEST
from operations.backfill.fold import fold
from operations.backfill.report import BackfillReport
from operations.backfill.velocity_job import check_stopped, committed_offsets
from operations.flink_client import FlinkClient
from schemas.settings import Settings
from schemas.topics import LABELS, TRANSACTIONS
from schemas.transaction import Limits
from streams.velocity.cluster import (
    Start,
    checkpoints_dir,
    install_seed,
    read_seed,
    stored_digest,
)
from training.archive import backfill_input, backfilled
from training.archive.archiver import fill_archive
from training.archive.backfill_status import complete_since_ms
from training.archive.store import ArchiveTable
from training.archive.tables import BACKFILLED


def run_backfill(
    settings: Settings, client: FlinkClient, *, say: Callable[[str], object]
) -> BackfillReport:
    """Compute the rows and states of changed definitions; `BackfillReport` says what it did.

    Running it again gives the same result, also after it was killed: the rows are one commit,
    writes to Redis are guarded, and the job's state is noted last.

    Args:
        settings: where archive, Kafka, Redis and Flink are.
        client: how to submit a job to Flink.
        say: takes a sentence about what happens.

    Raises:
        NoArchiveError: nothing has been archived.
        NoFeatureRowsError: the archive has no row to compute again.
        FlinkUnreachableError: Flink does not answer.
        VelocityJobRunningError: the velocity job runs.
        NoCommittedOffsetsError: how far the old job had read is not known.
        BackfillFailedError: the folds failed.
        BackfillMismatchError: other rows came out than went in.
    """
    seeds = stored_digest(settings) != DEFINITION_DIGEST
    backfill_input.folded_rows(settings.archive_url, until=None)
    fill_archive(settings)
    # The velocity job computes everything after the offsets of an earlier seed.
    earlier = (read_seed(settings) or Start()).next_offsets
    offsets = committed_offsets(settings) if seeds else earlier
    folded = backfill_input.folded_rows(settings.archive_url, until=offsets.get(TRANSACTIONS))
    if not seeds and backfilled.is_backfilled(settings.archive_url, folded):
        return _nothing()
    check_stopped(settings)
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
    """Make a scratch directory, and name one for the savepoint, which Flink creates.

    The names are new: the job of a backfill that was killed may still be running, and must not
    write to the same directories. Directories of earlier backfills are deleted.
    """
    root = checkpoints_dir(settings).parent
    old = [*root.glob("backfill-*"), *(root.glob("seed-*") if seeds else ())]
    for left in old:
        shutil.rmtree(left, ignore_errors=True)
    token = uuid.uuid4().hex[:12]
    scratch = root / f"backfill-{token}"
    scratch.mkdir(parents=True)
    return scratch, root / f"seed-{token}" if seeds else None


def _nothing() -> BackfillReport:
    return BackfillReport(DEFINITION_DIGEST, 0, 0, 0, 0, 0, 0, {}, is_seeded=False, next_offsets={})
