"""The errors of training, under the three kinds of `schemas.errors`.

::

    WeirError
    ├── TrainingDataError                 what was read cannot become a model; read its text
    │   ├── NoFeatureRowsError            nothing to learn from
    │   └── OneClassError                 no fraud at all, or nothing but fraud
    ├── CompiledModelMismatchError        the compiled trees do not score as the model does
    └── RetryableError
        ├── LogUnreachableError           Kafka did not answer, or a log fell silent before its end
        └── ModelRegistryUnreachableError MLflow did not answer, or refused a part of the version
"""

from __future__ import annotations

from schemas.errors import RetryableError, WeirError


class TrainingDataError(WeirError):
    """What was read cannot become a model. More, or other, events are needed."""


class NoFeatureRowsError(TrainingDataError):
    """The feature log holds no row that training may use."""


class OneClassError(TrainingDataError):
    """All rows have the same label, so there is nothing to tell apart."""


class CompiledModelMismatchError(WeirError):
    """The compiled trees do not reproduce the model's scores. Nothing was registered."""


class LogUnreachableError(RetryableError):
    """Kafka did not answer in time. Nothing was trained."""


class ModelRegistryUnreachableError(RetryableError):
    """MLflow did not take the whole version. The champion is what it was before."""
