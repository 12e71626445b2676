"""A model that decides although it is not known to be the champion, and says so.

Pure. `scoring.stores.champion` wraps the last good model while the champion cannot be read;
`scoring.core.decide` asks for the words of a model.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.encoding.vector import VectorSpec
from models.model import Model, ReadRowsModel, Scores
from schemas.decision import ModelRef
from schemas.feature_row import FeatureRow
from scoring.core.timed_model import TimedModel

DEGRADED_CHAMPION_UNAVAILABLE = "champion_unavailable"
"""The champion was refused, or the registry has not answered: the last good model decided."""


class LastGoodModel(Model):
    """Scores as the last good model does.

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


def remarks_of(model: Model) -> tuple[str, ...]:
    """Give what ``degraded`` says of every decision by a model."""
    if isinstance(model, TimedModel):
        return remarks_of(model.model)
    return (DEGRADED_CHAMPION_UNAVAILABLE,) if isinstance(model, LastGoodModel) else ()


def without_remarks(model: Model) -> Model:
    """Give the model itself, for an arm of its version: an arm does not follow the champion."""
    return model.model if isinstance(model, LastGoodModel) else model
