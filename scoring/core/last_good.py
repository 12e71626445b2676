"""A model that decides although it is not known to be the champion, and says so.

Pure. `scoring.stores.champion` wraps the last good model while the champion cannot be read;
`scoring.core.decide` asks for the words of a model.
"""

from __future__ import annotations

from models.model import Model
from scoring.core.timed_model import TimedModel
from scoring.core.wrapped_model import WrappedModel

DEGRADED_CHAMPION_UNAVAILABLE = "champion_unavailable"
"""The champion was refused, or the registry has not answered: the last good model decided."""


class LastGoodModel(WrappedModel):
    """Scores as the last good model does."""


def remarks_of(model: Model) -> tuple[str, ...]:
    """Give what ``degraded`` says of every decision by a model."""
    if isinstance(model, TimedModel):
        return remarks_of(model.model)
    return (DEGRADED_CHAMPION_UNAVAILABLE,) if isinstance(model, LastGoodModel) else ()


def without_remarks(model: Model) -> Model:
    """Give the model itself, for an arm of its version: an arm does not follow the champion."""
    return model.model if isinstance(model, LastGoodModel) else model
