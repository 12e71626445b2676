"""The errors of scoring, under the three kinds of `schemas.errors`.

::

    WeirError
    ├── InvalidEventError
    └── RetryableError
        └── OnlineStoreUnavailableError   Redis did not answer completely in time
"""

from __future__ import annotations

from schemas.errors import RetryableError


class OnlineStoreUnavailableError(RetryableError):
    """The online store gave no complete answer within its time limit.

    The text says what was asked, the limit, and the cause. The API answers without stored
    features (``degraded``) or with 503; the worker goes on as its own rules say.
    """
