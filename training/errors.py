"""The errors of training, under the three kinds of `schemas.errors`.

::

    WeirError
    ├── TrainingDataError                 what was read cannot become a model; read its text
    │   ├── NoFeatureRowsError            nothing to learn from
    │   ├── DatasetReportError            an earlier data set cannot be made again from its report
    │   ├── EmptyRangeError               a data set of no time at all was asked for
    │   ├── FutureFeaturesError           features of a time after their label was observed
    │   ├── NullShareError                a column without a value too often
    │   └── OneClassError                 no fraud at all, or nothing but fraud
    ├── PromotionError                    a version cannot become, or stop being, the champion
    │   ├── NoSuchVersionError            there is no version of this number
    │   ├── NoEarlierChampionError        there is nothing to roll back to
    │   └── OtherDefinitionsVersionError  the scorer would refuse it
    ├── NoArchiveError                    nothing has been archived yet
    ├── BackfillMismatchError             a backfill gave other rows than it was to compute
    ├── RowCountError                     a join in time gave back other rows than it was asked for
    ├── OtherLogError                     the archive goes beyond the end of the log
    └── RetryableError
        ├── ArchiveConflictError          two write the archive at once; one has lost
        ├── ArchiveUnreachableError       the archive's storage failed
        └── OnlineStoreUnreachableError   Redis did not take the batch features
"""

from __future__ import annotations

from schemas.errors import RetryableError, WeirError


class TrainingDataError(WeirError):
    """What was read cannot become a model. More, or other, events are needed."""


class NoFeatureRowsError(TrainingDataError):
    """The feature log holds no row that training may use."""


class OneClassError(TrainingDataError):
    """All rows have the same label, so there is nothing to tell apart."""


class PromotionError(WeirError):
    """A version cannot become the champion, or the champion cannot be taken back."""


class NoSuchVersionError(PromotionError):
    """The registered model has no version of this number."""


class NoEarlierChampionError(PromotionError):
    """The champion has replaced no other version, or there is no champion."""


class OtherDefinitionsVersionError(PromotionError):
    """The version was fitted on other feature definitions; the scorer would refuse it."""


class DatasetReportError(TrainingDataError):
    """An earlier data set cannot be made again from its report; the text says why."""


class EmptyRangeError(TrainingDataError):
    """The end of the range that was asked for is not after its beginning."""


class FutureFeaturesError(TrainingDataError):
    """Features are of a time at which their label was already known."""


class NullShareError(TrainingDataError):
    """A column has no value in too many rows."""


class NoArchiveError(WeirError):
    """There is no such table in the archive; nothing has been archived there yet."""


class OtherLogError(WeirError):
    """The archive holds more of a log than there is of it: they do not belong together."""


class RowCountError(WeirError):
    """A join in time gave back more or fewer rows than it was asked for; nothing was made of it."""


class BackfillMismatchError(WeirError):
    """A backfill gave other rows than it was to compute; nothing was written."""


class OnlineStoreUnreachableError(RetryableError):
    """Redis did not take the batch features; those of before stay until they are too old."""


class ArchiveConflictError(RetryableError):
    """Somebody else has archived the same records. Nothing was written; open again and go on."""


class ArchiveUnreachableError(RetryableError):
    """The archive's storage failed. What was committed before stays; nothing else was."""
