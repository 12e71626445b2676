"""The errors of training, under the three kinds of `schemas.errors`.

::

    WeirError
    ├── TrainingDataError                 a model cannot be trained on these rows
    │   ├── NoFeatureRowsError            there are no rows to learn from
    │   ├── DatasetReportError            an earlier data set cannot be rebuilt from its report
    │   ├── DuplicateRowsError            a transaction is in two parts of a data set
    │   ├── EmptyRangeError               the range of a data set ends before it begins
    │   ├── FutureFeaturesError           a row's event time is after the observation of its label
    │   ├── NullShareError                a column has too many nulls
    │   └── OneClassError                 no row is fraud, or all rows are
    ├── PromotionError                    a version cannot become, or stop being, the champion
    │   ├── NoSuchVersionError            there is no version of this number
    │   ├── NoEarlierChampionError        there is nothing to roll back to
    │   └── OtherDefinitionsVersionError  the scorer would refuse it
    ├── MissingLibraryError               an optional library is not installed
    ├── NoArchiveError                    nothing has been archived yet
    ├── BackfillMismatchError             a backfill computed other rows than expected
    ├── OtherLogError                     the archive follows another log than the present one
    ├── LostRowsError                     a rebuilt archive would lack rows that the archive has
    └── RetryableError
        ├── ArchiveConflictError          another process committed to the archive first
        ├── ArchiveUnreachableError       the archive's storage failed
        └── OnlineStoreUnreachableError   Redis did not take the batch features
"""

from __future__ import annotations

from schemas.errors import RetryableError, WeirError


class TrainingDataError(WeirError):
    """A model cannot be trained on these rows. More events, or other ones, are needed."""


class NoFeatureRowsError(TrainingDataError):
    """There is no feature row that training may use."""


class OneClassError(TrainingDataError):
    """All rows have the same label, so there is nothing to learn."""


class PromotionError(WeirError):
    """A version cannot become the champion, or the champion cannot be rolled back."""


class NoSuchVersionError(PromotionError):
    """The registered model has no version of this number."""


class NoEarlierChampionError(PromotionError):
    """No version that was champion before can be the champion again; the text says why."""


class OtherDefinitionsVersionError(PromotionError):
    """The version was fitted on other feature definitions; the scorer would refuse it."""


class DatasetReportError(TrainingDataError):
    """An earlier data set cannot be rebuilt from its report; the text says why."""


class DuplicateRowsError(TrainingDataError):
    """A transaction, or its exact copy under another id, is in two parts of a data set."""


class EmptyRangeError(TrainingDataError):
    """The end of the requested range is not after its beginning."""


class FutureFeaturesError(TrainingDataError):
    """A row's event time is after the observation of its label."""


class NullShareError(TrainingDataError):
    """A column is null in too many rows."""


class MissingLibraryError(WeirError):
    """The family asked for needs an optional library; the text says how to install it."""


class NoArchiveError(WeirError):
    """The archive has no such table; nothing has been archived there yet."""


class OtherLogError(WeirError):
    """The archive follows another log than the present one, or the log has lost its end."""


class LostRowsError(WeirError):
    """A rebuilt archive would lack rows that the archive has; the archive was not changed."""


class BackfillMismatchError(WeirError):
    """A backfill computed other rows than expected; nothing was written."""


class OnlineStoreUnreachableError(RetryableError):
    """Redis did not take the batch features; the earlier ones stay until they are too old."""


class ArchiveConflictError(RetryableError):
    """Another process has archived the same records. Nothing was written; open again and go on."""


class ArchiveUnreachableError(RetryableError):
    """The archive's storage failed. Earlier commits stay; nothing else was written."""
