"""Reads the labelled rows that a training was asked for: a data set, the log or the archive.

The same tables from either place, and by the same rules. Called by `run`.
"""

import pandas as pd

from features.definitions import DAY_MS
from models.definition import ModelDefinition
from models.errors import ModelDefinitionError
from operations.fresh_archive import bring_up_to_date
from operations.training_run.request import Rows, Source
from schemas.settings import Settings
from schemas.transaction import Limits
from training.archive.feature_rows import archived_feature_rows
from training.archive.labels import archived_labels
from training.archive.newest import newest_event_ms
from training.datasets.build import build_dataset
from training.datasets.dataset import Dataset
from training.datasets.labelled_rows import join_labels
from training.datasets.read_log import read_feature_rows, read_labels
from training.datasets.selection import newest_dataset, rebuild_dataset
from training.datasets.user_rows import build_user_dataset


def make_dataset(settings: Settings, rows: Rows, *, now_ms: int) -> Dataset:
    """Make the data set that was asked for.

    Args:
        settings: where the archive is.
        rows: a report wins over a range, a range over days.
        now_ms: the clock, ms since 1970 UTC.

    Raises:
        TrainingDataError: there are no such rows, or they cannot become a model.
        NoArchiveError: nothing has been archived yet.
    """
    if rows.report is not None:
        return rebuild_dataset(settings, rows.report)
    bring_up_to_date(settings)
    as_of_ms = _as_of_ms(rows, now_ms)
    if rows.first_ms is not None and rows.end_ms is not None:
        return build_dataset(
            settings, first_ms=rows.first_ms, end_ms=rows.end_ms, as_of_ms=as_of_ms
        )
    return newest_dataset(settings, days=rows.days, as_of_ms=as_of_ms)


def make_user_dataset(
    settings: Settings, definition: ModelDefinition, rows: Rows, *, now_ms: int
) -> Dataset:
    """Make the data set of a model of users.

    Without a range, it has the newest days whose labels are known, as many as asked for.

    Args:
        settings: where the archive is.
        definition: of the model.
        rows: a range, or days; other sources than a data set are refused.
        now_ms: the clock, ms since 1970 UTC.

    Raises:
        ModelDefinitionError: the model has no label, or its SQL is wrong, or the rows are not those
            of a data set by days.
        TrainingDataError: there are no such rows, or they cannot become a model.
        NoArchiveError: nothing has been archived yet.
    """
    if rows.source is not Source.DATASET or rows.report is not None or rows.keep_immature:
        raise ModelDefinitionError(
            f"model {definition.name} is trained on a data set of days; leave out the options that "
            "name other rows"
        )
    bring_up_to_date(settings)
    as_of_ms = _as_of_ms(rows, now_ms)
    first_ms, end_ms = rows.first_ms, rows.end_ms
    if first_ms is None or end_ms is None:
        horizon_ms = 0 if definition.label is None else definition.label.horizon_ms
        newest_ms = newest_event_ms(settings.archive_url, now_ms=as_of_ms) or as_of_ms
        end_ms = newest_ms - horizon_ms + 1
        first_ms = end_ms - rows.days * DAY_MS
    return build_user_dataset(
        settings, definition, first_ms=first_ms, end_ms=end_ms, as_of_ms=as_of_ms
    )


def read_labelled_rows(settings: Settings, rows: Rows, *, now_ms: int) -> pd.DataFrame:
    """Read everything in the log or in the archive, with labels but without batch features.

    Args:
        settings: where Kafka and the archive are.
        rows: the log is up to the minute; the archive is brought up to date if Kafka answers.
        now_ms: the clock, ms since 1970 UTC.

    Raises:
        NoFeatureRowsError: there is nothing to learn from.
        OneClassError: no fraud is known, or nothing but fraud.
        KafkaUnreachableError: Kafka does not answer.
        NoArchiveError: nothing has been archived yet.
    """
    as_of_ms = _as_of_ms(rows, now_ms)
    if rows.source is Source.ARCHIVE:
        bring_up_to_date(settings)
        url = settings.archive_url
        features, labels = archived_feature_rows(url), archived_labels(url, as_of_ms=as_of_ms)
    else:
        limits = Limits.from_settings(settings)
        labels = read_labels(settings.kafka_bootstrap, limits=limits, as_of_ms=as_of_ms)
        features = read_feature_rows(settings.kafka_bootstrap)
    return join_labels(
        features,
        labels,
        as_of_ms=as_of_ms,
        maturity_ms=rows.maturity_ms,
        keep_immature=rows.keep_immature,
    )


def _as_of_ms(rows: Rows, now_ms: int) -> int:
    """The time to look from; never after the clock, which would make young rows mature."""
    return now_ms if rows.as_of_ms is None else min(rows.as_of_ms, now_ms)
