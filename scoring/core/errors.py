"""The errors of scoring, under the three kinds of `schemas.errors`.

::

    WeirError
    ├── NoSuchRolloutError                no rollout has this id
    ├── RolloutConflictError              another change of a rollout came first
    └── RetryableError
        ├── NoChampionError               a model of users has no version that may score
        ├── FeaturesNotMaterializedError  the inputs of a model of users are not in Redis
        ├── OnlineStoreUnavailableError   Redis did not answer completely in time
        └── DeliveryError                 the broker did not acknowledge a record in time
"""

from __future__ import annotations

from schemas.errors import RetryableError, WeirError


class NoSuchRolloutError(WeirError):
    """No rollout has this id. `weir rollout list` shows them."""


class RolloutConflictError(WeirError):
    """Another change of the rollout came first, so this one does not count.

    Nothing has changed. Read the rollout again, and repeat the change if it is still wanted.
    """


class OnlineStoreUnavailableError(RetryableError):
    """The online store gave no complete answer within its time limit.

    The text names what was read, the limit and the cause. The API answers without stored features
    (``degraded``) or with 503.
    """


class NoChampionError(RetryableError):
    """A model of users has no champion, or it was refused. Train one, or look at the log."""


class FeaturesNotMaterializedError(RetryableError):
    """The inputs of a model of users are not in Redis, too old, or of other definitions.

    The text says which view of Feast, and what writes it.
    """


class DeliveryError(RetryableError):
    """The broker did not acknowledge a record in time. Nothing of its batch is committed."""
