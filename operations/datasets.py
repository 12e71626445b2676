"""Makes a data set by date and logs it to MLflow.

Bridges `training.datasets` and `training.registry`. Called by `weir dataset build`.
"""

import json
from collections.abc import Callable

from operations.fresh_archive import bring_up_to_date
from schemas.settings import Settings
from training.archive.version import ArchiveVersion
from training.datasets.build import build_dataset
from training.datasets.dataset import Dataset
from training.datasets.split import SplitKind
from training.registry.dataset_log import LoggedDataset, log_dataset
from training.registry.mlflow_runs import check_reachable


def build_and_log(
    settings: Settings,
    *,
    first_ms: int,
    end_ms: int,
    as_of_ms: int,
    same_archive_as: str | None,
    split: SplitKind | None,
    is_logged: bool,
    on_built: Callable[[Dataset], None],
) -> LoggedDataset | None:
    """Make the data set of a range of event time, hand it out, and log it.

    Args:
        settings: where archive and MLflow are.
        first_ms: earliest event time, ms since 1970 UTC, included.
        end_ms: first event time that is not included any more.
        as_of_ms: the clock, or an earlier time, ms since 1970 UTC.
        same_archive_as: text of an earlier data set's report; no more of the archive is read than
            that one did. None: all of it.
        split: how to divide it into train, validation and test rows; None: it is one table.
        is_logged: whether it goes to MLflow.
        on_built: told of the data set before it is logged.

    Returns:
        Where it is in MLflow; None if it was not to be logged.

    Raises:
        ModelRegistryUnreachableError: MLflow does not answer; asked before anything is read.
        TrainingDataError, NoArchiveError: as `training.datasets.build` raises them.
    """
    if is_logged:
        # Before minutes of work whose result could not be kept.
        check_reachable(settings.mlflow_tracking_uri)
    archive = None
    if same_archive_as is None:
        bring_up_to_date(settings)
    else:
        archive = ArchiveVersion.from_json(json.loads(same_archive_as)["version"]["archive"])
    dataset = build_dataset(
        settings,
        first_ms=first_ms,
        end_ms=end_ms,
        as_of_ms=as_of_ms,
        archive=archive,
        split=split,
    )
    on_built(dataset)
    return log_dataset(settings, dataset) if is_logged else None
