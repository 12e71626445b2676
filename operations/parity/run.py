"""Runs parity on a running system: recomputes the feature log and compares every surface with it.

Reads by `sources`, folds by `recomputation`, compares by `surfaces`. Called by `weir parity` and by
`operations.promotion`, whose gate it is.
"""

from collections.abc import Collection
from functools import partial
from typing import Final

from features.batch import BATCH_AGE_MS_MAX, BATCH_VIEWS, BatchView
from features.definitions import Entity
from operations.parity.feature_log import FeatureLogComparison
from operations.parity.recomputation.recomputed import Recomputed
from operations.parity.report import ParityReport, SurfaceReport
from operations.parity.sources.logs import LogReader, Patience
from operations.parity.sources.model_specs import registered_specs
from operations.parity.sources.online_states import OnlineStates
from operations.parity.sources.rollouts import logged_rollouts
from operations.parity.surfaces.batch_features import BatchComparison
from operations.parity.surfaces.decisions import DecisionComparison
from operations.parity.surfaces.online import OnlineComparison
from operations.parity.surfaces.online_batch import compare_online_batch
from operations.parity.surfaces.training_rows import compare_training_rows
from schemas.output_codec import decode_decision
from schemas.settings import Settings
from schemas.topics import DECISIONS, FEATURES
from training.archive.feature_rows import archived_feature_rows
from training.archive.followed_log import check_followed
from training.archive.snapshots import ArchivedSnapshots
from training.archive.version import archive_version
from training.datasets.read_log import read_feature_rows
from training.errors import NoArchiveError, NoFeatureRowsError

DECISIONS_SURFACE: Final = "decisions"
BATCH_SURFACE: Final = "batch_features"
TRAINING_SURFACE: Final = "training_rows"
ARCHIVE_SURFACE: Final = "archived_rows"
ONLINE_SURFACES: Final[dict[str, Entity]] = {"online_users": "user", "online_merchants": "merchant"}
ONLINE_BATCH_SURFACES: Final[dict[str, BatchView]] = {
    f"online_{view.name}": view for view in BATCH_VIEWS
}
SURFACES: Final = (
    DECISIONS_SURFACE,
    BATCH_SURFACE,
    TRAINING_SURFACE,
    ARCHIVE_SURFACE,
    *ONLINE_SURFACES,
    *ONLINE_BATCH_SURFACES,
)
"""What is compared besides the feature log."""


def run_parity(settings: Settings, *, surfaces: Collection[str] = SURFACES) -> ParityReport:
    """Recompute the feature log, then compare the surfaces with the result.

    Traffic may go on meanwhile: transactions that arrive later are not compared, and answers that
    are under way are waited for.

    Args:
        settings: where everything is.
        surfaces: of `SURFACES`.

    Raises:
        KafkaUnreachableError: no answer.
        OtherDefinitionsError: the log follows other feature definitions.
        OnlineStatesUnreachableError: Redis does not answer.
        ModelRegistryUnreachableError: MLflow does not answer, and decisions have vectors.
        NoArchiveError: there is no archive, and it alone was asked for.
        OtherLogError: the archive follows another feature log.
        ArchiveUnreachableError: the storage of the archive failed.
    """
    recomputed = Recomputed()
    comparison = FeatureLogComparison(settings, recomputed=recomputed)
    feature_log = comparison.run()
    ends = dict(comparison.ends)
    reports: dict[str, SurfaceReport] = {}
    if not {DECISIONS_SURFACE, BATCH_SURFACE}.isdisjoint(surfaces):
        found = _decisions(settings, recomputed, ends)
        reports |= {name: report for name, report in found.items() if name in surfaces}
    if TRAINING_SURFACE in surfaces:
        reports[TRAINING_SURFACE] = _training_rows(settings, recomputed, ends)
    if ARCHIVE_SURFACE in surfaces:
        try:
            reports[ARCHIVE_SURFACE] = _archived_rows(settings, recomputed, ends)
        except NoArchiveError:
            # A deployment need not have an archive; it is an error if nothing else was asked for.
            if set(surfaces) == {ARCHIVE_SURFACE}:
                raise
    online = OnlineStates(settings.redis_url, project=settings.feast_project)
    try:
        for name, entity in ONLINE_SURFACES.items():
            if name in surfaces:
                reports[name] = OnlineComparison(entity, recomputed, online).compare(
                    is_worth_waiting=Patience().is_worth_waiting,
                    appeared_since=partial(comparison.appeared_since, entity),
                )
        for name, view in ONLINE_BATCH_SURFACES.items():
            if name in surfaces:
                reports[name] = _online_batch(settings, view, online)
    finally:
        online.close()
    return ParityReport(feature_log, reports)


def _decisions(
    settings: Settings, recomputed: Recomputed, ends: dict[int, int]
) -> dict[str, SurfaceReport]:
    """Read the decisions once for both surfaces that are compared with them."""
    batch = BatchComparison()
    comparison = DecisionComparison(
        recomputed,
        ends=ends,
        spec_of=registered_specs(settings),
        rollout_at=logged_rollouts(settings),
        on_compared=batch.take,
    )
    reader = LogReader(settings.kafka_bootstrap, DECISIONS)
    for record in reader.read_until_answered(lambda: comparison.undecided, Patience()):
        comparison.take(decode_decision(record.value))
    snapshots = ArchivedSnapshots(settings.archive_url)
    return {DECISIONS_SURFACE: comparison.finish(), BATCH_SURFACE: batch.compare(snapshots.read)}


def _online_batch(settings: Settings, view: BatchView, online: OnlineStates) -> SurfaceReport:
    complete_ms = online.complete_ms(view)
    if complete_ms is None:
        # Nothing was ever materialised, or Redis has lost it: readers use no value.
        return SurfaceReport()
    snapshots = ArchivedSnapshots(settings.archive_url, view)
    rows = snapshots.read(complete_ms - BATCH_AGE_MS_MAX, complete_ms)
    return compare_online_batch(view, rows, online, complete_ms=complete_ms)


def _training_rows(
    settings: Settings, recomputed: Recomputed, ends: dict[int, int]
) -> SurfaceReport:
    try:
        rows = read_feature_rows(settings.kafka_bootstrap)
    except NoFeatureRowsError:
        old = sum(recomputed.position(each) in recomputed.old for each in recomputed.ids())
        return SurfaceReport(missing=len(recomputed) - old)
    return compare_training_rows(rows, recomputed, ends=ends, has_old=False)


def _archived_rows(
    settings: Settings, recomputed: Recomputed, ends: dict[int, int]
) -> SurfaceReport:
    url = settings.archive_url
    check_followed(settings, FEATURES)
    version = archive_version(url)
    try:
        rows = archived_feature_rows(url, version=version)
    except NoFeatureRowsError:
        # The archive has not come so far.
        return SurfaceReport(newer=len(recomputed))
    held = version.next_offsets[FEATURES]
    return compare_training_rows(rows, recomputed, ends=ends, held=held)
