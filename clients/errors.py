"""The errors of the clients, under the three kinds of `schemas.errors`.

::

    WeirError
    ├── ResponseTooLargeError             MLflow sent more than a model file may have
    └── RetryableError
        ├── KafkaUnreachableError         Kafka did not answer, or a topic is missing
        ├── ModelRegistryUnreachableError MLflow did not answer, or not completely
        └── RedisUnavailableError         Redis did not answer completely in time

Imports no client library, so that every caller can catch them at no cost.
"""

from __future__ import annotations

from schemas.errors import RetryableError, WeirError


class KafkaUnreachableError(RetryableError):
    """Kafka does not answer, a topic is missing, or a partition fell silent before its end."""


class ModelRegistryUnreachableError(RetryableError):
    """MLflow gave no complete answer, or did not take all parts of a model version.

    A training run that raises it has not moved the champion. The scorer goes on with the model
    it has.
    """


class ResponseTooLargeError(WeirError):
    """An artifact in MLflow is larger than the client reads."""


class RedisUnavailableError(RetryableError):
    """Redis gave no complete answer within the time limit, or its circuit is open."""
