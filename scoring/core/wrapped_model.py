"""What all models have in common that add something to another model. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from models.encoding.vector import VectorSpec
from models.model import Model, ReadRowsModel, Scores
from schemas.decision import ModelRef
from schemas.feature_row import FeatureRow


class WrappedModel(Model):
    """Scores as another model does; a subclass changes what it adds.

    Attributes:
        model: that model.
    """

    def __init__(self, model: Model) -> None:
        """Wrap a model."""
        self.model = model

    @property
    def ref(self) -> ModelRef:
        """See `models.model.Model`."""
        return self.model.ref

    @property
    def definition_digest(self) -> str | None:
        """See `models.model.Model`."""
        return self.model.definition_digest

    @property
    def batch_columns(self) -> tuple[str, ...]:
        """See `models.model.Model`."""
        return self.model.batch_columns

    @property
    def spec(self) -> VectorSpec | None:
        """See `models.model.Model`."""
        return self.model.spec

    @property
    def reader(self) -> ReadRowsModel | None:
        """See `models.model.Model`."""
        return self.model.reader

    def score(self, rows: Sequence[FeatureRow]) -> Scores:
        """Score a batch in one call."""
        return self.model.score(rows)
