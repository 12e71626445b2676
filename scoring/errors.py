"""The errors of scoring, under the three kinds of `schemas.errors`.

::

    WeirError
    ├── InvalidEventError
    ├── ModelRefusedError                    a model version that will never work as it is
    │   ├── SignatureMismatchError           its files disagree with each other, or with this code
    │   ├── GoldenRowsMismatchError          it does not score as it did when it was registered
    │   └── DefinitionMismatchError          it was trained on other feature definitions
    └── RetryableError
        ├── OnlineStoreUnavailableError      Redis did not answer completely in time
        ├── DecisionStoreUnavailableError    the store of first decisions did not answer in time
        ├── RegistryUnavailableError         MLflow did not answer, or not completely
        └── DeliveryError                    the broker did not take a record in time
"""

from __future__ import annotations

from schemas.errors import RetryableError, WeirError


class OnlineStoreUnavailableError(RetryableError):
    """The online store gave no complete answer within its time limit.

    The text says what was asked, the limit, and the cause. The API answers without stored
    features (``degraded``) or with 503; the worker goes on as its own rules say.
    """


class DecisionStoreUnavailableError(RetryableError):
    """The store of first decisions gave no complete answer within its time limit.

    Decisions go on without it and say ``degraded: decision_store_unavailable``.
    """


class RegistryUnavailableError(RetryableError):
    """The model registry gave no complete answer. The model in use stays in use."""


class DeliveryError(RetryableError):
    """The broker did not acknowledge a record in time. Nothing of its batch is committed."""


class ModelRefusedError(WeirError):
    """A model version that is not put to use. The model in use stays in use.

    Retrying does not help: register a new version, or move the alias back.
    """


class SignatureMismatchError(ModelRefusedError):
    """The files of a version disagree with each other, or this code cannot read them."""


class GoldenRowsMismatchError(ModelRefusedError):
    """The golden rows do not give the scores that were recorded with them."""


class DefinitionMismatchError(ModelRefusedError):
    """The version was trained on feature definitions other than those of this code."""
