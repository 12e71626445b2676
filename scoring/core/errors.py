"""The errors of scoring, under the three kinds of `schemas.errors`.

::

    WeirError
    └── RetryableError
        ├── OnlineStoreUnavailableError      Redis did not answer completely in time
        ├── DecisionStoreUnavailableError    the store of first decisions did not answer in time
        └── DeliveryError                    the broker did not take a record in time
"""

from __future__ import annotations

from schemas.errors import RetryableError


class OnlineStoreUnavailableError(RetryableError):
    """The online store gave no complete answer within its time limit.

    The text says what was asked, the limit, and the cause. The API answers without stored
    features (``degraded``) or with 503; the worker goes on as its own rules say.
    """


class DecisionStoreUnavailableError(RetryableError):
    """The store of first decisions gave no complete answer within its time limit.

    Decisions go on without it and say ``degraded: decision_store_unavailable``.
    """


class DeliveryError(RetryableError):
    """The broker did not acknowledge a record in time. Nothing of its batch is committed."""
