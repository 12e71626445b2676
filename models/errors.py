"""The errors of model versions, below the three kinds of `schemas.errors`.

::

    WeirError
    ├── ModelRefusedError                a version that will never work as it is
    │   ├── SignatureMismatchError       its files do not fit each other, or this code
    │   ├── GoldenRowsMismatchError      it does not score as when it was registered
    │   └── DefinitionMismatchError      it was trained on other feature definitions
    ├── CompiledModelMismatchError       the compiled trees do not score as the estimator does
    ├── ModelDefinitionError             a definition of a model cannot be used
    └── UnknownModelError                no definition has this name
"""

from __future__ import annotations

from schemas.errors import WeirError


class ModelRefusedError(WeirError):
    """A model version that is refused. The model in use stays in use.

    Retrying does not help: train a new version, or move the alias back.
    """


class SignatureMismatchError(ModelRefusedError):
    """The files of a version do not fit each other, or this code cannot read them."""


class GoldenRowsMismatchError(ModelRefusedError):
    """The golden rows do not give the scores that were recorded with them."""


class DefinitionMismatchError(ModelRefusedError):
    """The version was trained on other feature definitions than this code's."""


class CompiledModelMismatchError(WeirError):
    """The compiled trees do not score as the fitted ones do. Nothing was registered."""


class ModelDefinitionError(WeirError):
    """A definition of a model cannot be imported or served. Correct it, or WEIR_MODELS."""


class UnknownModelError(WeirError):
    """No definition of the deployment has this name. The text names those that there are."""
