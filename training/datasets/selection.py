"""Chooses which data set to build: that of the most recent days, or an earlier one again.

Called by `weir train`; `training.datasets.build` builds what was chosen.
"""

from __future__ import annotations

import json

from features.definitions import DAY_MS, DEFINITION_DIGEST
from schemas.settings import Settings
from training.archive.version import ArchiveVersion, archive_version
from training.datasets.build import build_dataset
from training.datasets.dataset import Dataset
from training.datasets.labelled_rows import MATURITY_MS
from training.datasets.split import SplitKind
from training.datasets.version import DatasetVersion
from training.errors import DatasetReportError


def newest_dataset(
    settings: Settings, *, days: int, as_of_ms: int, maturity_ms: int = MATURITY_MS
) -> Dataset:
    """Build the data set of the most recent days whose labels are mature.

    ::

        time      ------------------------------------------------->|  as_of_ms
        range          [ day | day | ... | day )<---- maturity ---->|

    The days are whole (UTC), so the data set stays the same until the next day is mature.

    Args:
        settings: where the archive is.
        days: how many, at least 1.
        as_of_ms: the clock, or an earlier time, ms since 1970 UTC.
        maturity_ms: as for `build_dataset`.

    Raises:
        NoArchiveError, ArchiveUnreachableError, NoFeatureRowsError, OneClassError, NullShareError,
        FutureFeaturesError: as `build_dataset` raises them.
    """
    archive = archive_version(settings.archive_url)
    end_ms = (as_of_ms + 1 - maturity_ms) // DAY_MS * DAY_MS
    return build_dataset(
        settings,
        first_ms=end_ms - days * DAY_MS,
        end_ms=end_ms,
        as_of_ms=as_of_ms,
        archive=archive,
        maturity_ms=maturity_ms,
    )


def rebuild_dataset(settings: Settings, report: str) -> Dataset:
    """Build an earlier data set again, with the same rows and the same split.

    The versions may differ in the version of the code.

    Args:
        settings: where the archive is; it may have been rebuilt from the logs since.
        report: the text of `Dataset.report`.

    Raises:
        DatasetReportError: the text is not a report, it has other feature definitions, or the
            rows came out different.
        NoArchiveError: feature rows or labels have not been archived.
        ArchiveUnreachableError: the storage failed.
    """
    version, rows_digest = _read_report(report)
    if version.definition_digest != DEFINITION_DIGEST:
        raise DatasetReportError(
            f"the data set {version.digest} has the feature definitions "
            f"{version.definition_digest}, this code computes {DEFINITION_DIGEST}; use the code "
            f"that built it, {version.code_version}"
        )
    again = build_dataset(
        settings,
        first_ms=version.first_ms,
        end_ms=version.end_ms,
        as_of_ms=version.as_of_ms,
        archive=ArchiveVersion.from_json(version.archive),
        maturity_ms=version.maturity_ms,
        split=None if version.split is None else SplitKind(version.split),
    )
    if again.rows_digest != rows_digest:
        raise DatasetReportError(
            f"the data set {version.digest} came out with other rows ({again.rows_digest}, not "
            f"{rows_digest}): the archive does not reach as far as it did, or code "
            f"{version.code_version} joined in another way; compare `weir archive status` and "
            "`weir archive verify`"
        )
    return again


def _read_report(report: str) -> tuple[DatasetVersion, str]:
    try:
        found = json.loads(report)
        version = DatasetVersion(**found["version"])
        if version.split is not None:
            SplitKind(version.split)
        ArchiveVersion.from_json(version.archive)
        return version, str(found["rows_digest"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DatasetReportError(
            f"this is not the report of a data set ({error!r:.100}); `weir dataset build` prints "
            "one, and MLflow keeps it as dataset/report.json"
        ) from error
