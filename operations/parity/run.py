"""Reads the logs of a running system for `operations.parity.audit`, which knows no Kafka.

And Redis, and the registry for what vectors were made by, for `operations.parity.surfaces`.
"""

from collections.abc import Callable, Collection, Iterator
from functools import cache, partial
from typing import Final

from clients.kafka_log import Record, read_log
from features.definitions import DEFINITION_DIGEST, Entity
from models.encoding.vector import VectorSpec
from operations.parity.audit import LoggedLabel, ParityReport, Place, audit, fingerprint
from operations.parity.batch import BatchComparison
from operations.parity.online_states import OnlineStates
from operations.parity.recomputed import Recomputed
from operations.parity.surfaces import (
    FullReport,
    SurfaceReport,
    compare_decisions,
    compare_online,
)
from schemas.codec import decode_label, decode_transaction
from schemas.dead_letter import read_dead_letter
from schemas.decision import ModelRef
from schemas.errors import InvalidEventError, RetryableError
from schemas.feature_row import FeatureRow
from schemas.output_codec import decode_decision, decode_feature_row
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS, DECISIONS, FEATURES, LABELS, TRANSACTIONS
from schemas.transaction import Limits
from training.errors import NoArchiveError, NoFeatureRowsError
from training.registry.versions import ModelVersions, vector_spec_of

Refused = set[tuple[str, int, int]]

DECISIONS_SURFACE: Final = "decisions"
BATCH_SURFACE: Final = "batch_features"
TRAINING_SURFACE: Final = "training_rows"
ARCHIVE_SURFACE: Final = "archived_rows"
ONLINE_SURFACES: Final[dict[str, Entity]] = {"online_users": "user", "online_merchants": "merchant"}
SURFACES: Final = (
    DECISIONS_SURFACE,
    BATCH_SURFACE,
    TRAINING_SURFACE,
    ARCHIVE_SURFACE,
    *ONLINE_SURFACES,
)
"""What is compared besides the feature log."""

_NO_CLOCK_MS: Final = 0
"""A replay's times are not compared with the clock, and what was refused is known already."""


def run_parity(
    settings: Settings, *, is_compared: Callable[[FeatureRow], bool] = lambda _: True
) -> ParityReport:
    """Audit the whole feature log against the transactions and labels in Kafka.

    Transactions are listed first and rows read last, so that traffic which goes on meanwhile
    is not reported; what is under way at that moment counts as missing.

    Raises:
        KafkaUnreachableError: no answer.
        OtherDefinitionsError: the log follows other feature definitions.
    """
    return _audited(settings, is_compared=is_compared, recomputed=None, ends={})


def run_full_parity(settings: Settings, *, surfaces: Collection[str] = SURFACES) -> FullReport:
    """Audit the feature log, then compare the surfaces with what it recomputed.

    Args:
        settings: where everything is.
        surfaces: of `SURFACES`.

    Raises:
        KafkaUnreachableError: no answer.
        OtherDefinitionsError: the log follows other feature definitions.
        OnlineStatesUnreachableError: Redis does not answer.
        ModelRegistryUnreachableError: MLflow does not answer, and decisions have vectors.
        NoArchiveError: there is no archive, and it alone was asked for.
        ArchiveUnreachableError: the storage of the archive failed.
    """
    recomputed = Recomputed()
    ends: dict[int, int] = {}
    feature_log = _audited(settings, is_compared=lambda _: True, recomputed=recomputed, ends=ends)
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
            # An archive is a choice; whoever asks for nothing else wants to know.
            if set(surfaces) == {ARCHIVE_SURFACE}:
                raise
    online = OnlineStates(settings.redis_url, project=settings.feast_project)
    try:
        for name, entity in ONLINE_SURFACES.items():
            if name in surfaces:
                reports[name] = compare_online(
                    entity,
                    recomputed,
                    read=partial(online.read, entity),
                    stored=online.ids(entity),
                )
    finally:
        online.close()
    return FullReport(feature_log, reports)


def parity_words(settings: Settings) -> str | None:
    """Audit everything; say in words what is not as it should be, None if nothing is.

    Raises:
        OtherDefinitionsError: the log follows other feature definitions.
    """
    try:
        report = run_full_parity(settings)
    except RetryableError as error:
        return f"it could not be established, {error}"
    if report.is_clean:
        return None
    counts = {
        name: {count: number for count, number in found.items() if number and count != "checked"}
        for name, found in report.counts().items()
    }
    wrong = [
        f"{name} has {number} {count}"
        for name, found in counts.items()
        for count, number in found.items()
    ]
    if report.feature_log.gaps:
        wrong.append(f"feature_log has {report.feature_log.gaps} gaps")
    return ", ".join(wrong)


def _audited(
    settings: Settings,
    *,
    is_compared: Callable[[FeatureRow], bool],
    recomputed: Recomputed | None,
    ends: dict[int, int],
) -> ParityReport:
    bootstrap = settings.kafka_bootstrap
    limits = Limits.from_settings(settings)
    transactions = _transactions(bootstrap, limits)
    label_records = list(read_log(bootstrap, LABELS))
    refused = _refused(bootstrap)
    for topic, partition, offset in refused:
        if topic == TRANSACTIONS:
            transactions.pop((partition, offset), None)
    return audit(
        _rows(bootstrap, ends, recomputed),
        labels=_labels(label_records, refused, limits),
        transactions=transactions,
        is_compared=is_compared,
        recomputed=recomputed,
        is_backfilled=_is_backfilled(settings),
    )


def _is_backfilled(settings: Settings) -> bool:
    # Imported here: pandas takes a second that a look at the feature log should not wait for.
    from training.archive.backfilled import backfill_status  # noqa: PLC0415

    status = backfill_status(settings.archive_url)
    return status is not None and status.definition_digest == DEFINITION_DIGEST


def _rows(
    bootstrap: str, ends: dict[int, int], recomputed: Recomputed | None
) -> Iterator[FeatureRow]:
    for record in read_log(bootstrap, FEATURES):
        ends[record.partition] = record.offset + 1
        row = decode_feature_row(record.value)
        if recomputed is not None:
            place = (record.partition, record.offset)
            recomputed.places.setdefault(row.transaction.transaction_id, place)
        yield row


def _transactions(bootstrap: str, limits: Limits) -> dict[Place, int]:
    """What every record says; 0 for those that cannot be read, which are dead letters."""
    found: dict[Place, int] = {}
    for record in read_log(bootstrap, TRANSACTIONS):
        try:
            transaction = decode_transaction(
                record.value, limits=limits, now_ms=_NO_CLOCK_MS, is_replay=True
            )
            found[record.partition, record.offset] = fingerprint(transaction)
        except InvalidEventError:
            found[record.partition, record.offset] = 0
    return found


def _decisions(
    settings: Settings, recomputed: Recomputed, ends: dict[int, int]
) -> dict[str, SurfaceReport]:
    """Read the decisions once for both surfaces that they are compared on."""
    # Imported here: pyarrow takes a second that a look at the feature log should not wait for.
    from training.archive.snapshots import ArchivedSnapshots  # noqa: PLC0415

    batch = BatchComparison()
    records = read_log(settings.kafka_bootstrap, DECISIONS)
    report = compare_decisions(
        (decode_decision(record.value) for record in records),
        recomputed,
        ends=ends,
        spec_of=_specs(settings),
        also=batch.take,
    )
    snapshots = ArchivedSnapshots(settings.archive_url)
    return {DECISIONS_SURFACE: report, BATCH_SURFACE: batch.compare(snapshots.read)}


def _training_rows(
    settings: Settings, recomputed: Recomputed, ends: dict[int, int]
) -> SurfaceReport:
    # Imported here: pandas takes a second that a look at the feature log should not wait for.
    from operations.parity.rows import compare_training_rows  # noqa: PLC0415
    from training.datasets.read_log import read_feature_rows  # noqa: PLC0415

    try:
        rows = read_feature_rows(settings.kafka_bootstrap)
    except NoFeatureRowsError:
        return SurfaceReport(missing=len(recomputed) - len(recomputed.old))
    return compare_training_rows(rows, recomputed, ends=ends, has_old=False)


def _archived_rows(
    settings: Settings, recomputed: Recomputed, ends: dict[int, int]
) -> SurfaceReport:
    # Imported here, as above.
    from operations.parity.rows import compare_training_rows  # noqa: PLC0415
    from training.archive.read import archive_version, archived_feature_rows  # noqa: PLC0415

    url = settings.archive_url
    version = archive_version(url, partitions=max(ends, default=0) + 1)
    try:
        rows = archived_feature_rows(url, version=version)
    except NoFeatureRowsError:
        # The archive has not come so far.
        return SurfaceReport(newer=len(recomputed))
    held = version.next_offsets[FEATURES]
    return compare_training_rows(rows, recomputed, ends=ends, held=held)


def _specs(settings: Settings) -> Callable[[ModelRef], VectorSpec | None]:
    versions = ModelVersions.from_settings(settings)

    @cache
    def spec_of(model: ModelRef) -> VectorSpec | None:
        if model.name != settings.model_name:
            return None
        return vector_spec_of(versions, model.version)

    return spec_of


def _refused(bootstrap: str) -> Refused:
    letters = (read_dead_letter(record.headers) for record in read_log(bootstrap, DEAD_LETTERS))
    return {(letter.topic, letter.partition, letter.offset) for letter in letters}


def _labels(records: list[Record], refused: Refused, limits: Limits) -> Iterator[LoggedLabel]:
    for record in records:
        if (LABELS, record.partition, record.offset) not in refused:
            label = decode_label(record.value, limits=limits, now_ms=_NO_CLOCK_MS, is_replay=True)
            yield LoggedLabel(label, timestamp_ms=record.timestamp_ms)
