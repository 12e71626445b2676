"""The errors of batch scoring, below the three kinds of `schemas.errors`.

::

    WeirError
    ├── NoRowsToScoreError           the range has no rows that can be scored
    ├── FeatureTableError            a table of features lacks a column, or has an entity twice
    ├── NoModelToScoreWithError      there is no such version, or no champion yet
    ├── PredictionsTableError        the database has no table for predictions, or another one
    ├── SinkAddressError             the address of the sink is none that is known
    ├── ScoringFailedError           the Flink job has failed
    └── RetryableError
        └── SinkUnreachableError     the database does not answer, or a lock is not released

`operations.flink_client` adds NoFreeSlotsError. Whatever is raised, the predictions of earlier runs
are as they were.
"""

from schemas.errors import RetryableError, WeirError


class NoRowsToScoreError(WeirError):
    """The range or the table has no row that can be scored."""


class FeatureTableError(WeirError):
    """A table of features cannot be scored as it is."""


class NoModelToScoreWithError(WeirError):
    """The registry has no such version or alias."""


class PredictionsTableError(WeirError):
    """The database has no table for predictions, or one with other columns."""


class SinkAddressError(WeirError):
    """The address of the sink is of no kind that is known."""


class ScoringFailedError(WeirError):
    """The Flink job of a batch scoring has failed."""


class SinkUnreachableError(RetryableError):
    """The database does not answer, or another session holds a lock for too long."""
