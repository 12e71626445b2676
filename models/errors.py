"""The errors of models, under the three kinds of `schemas.errors`.

::

    WeirError
    ├── ModelRefusedError                a model version that will never work as it is
    │   ├── SignatureMismatchError       its files disagree with each other, or with this code
    │   ├── GoldenRowsMismatchError      it does not score as it did when it was registered
    │   └── DefinitionMismatchError      it was trained on other feature definitions
    └── CompiledModelMismatchError       the compiled trees do not score as the estimator does
"""

from __future__ import annotations

from schemas.errors import WeirError


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


class CompiledModelMismatchError(WeirError):
    """The compiled trees do not reproduce the model's scores. Nothing was registered."""
