"""A model that measures how long its calls take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from features.engine.rows import ReadRows
from models.model import Model, ReadRowsModel, ReadScores, Scores
from schemas.feature_row import FeatureRow
from scoring.core.wrapped_model import WrappedModel


class TimedModel(WrappedModel):
    """Scores as another model does.

    Attributes:
        took_ms: how long all calls have taken, ms.
    """

    def __init__(self, model: Model, *, clock_ms: Callable[[], float]) -> None:
        """Wrap a model.

        Args:
            model: scores.
            clock_ms: a clock that never goes back, ms.
        """
        super().__init__(model)
        self._clock_ms = clock_ms
        self.took_ms = 0.0

    @property
    def reader(self) -> ReadRowsModel | None:
        """See `models.model.Model`."""
        return None if self.model.reader is None else self

    def score(self, rows: Sequence[FeatureRow]) -> Scores:
        """Score, and measure."""
        begin_ms = self._clock_ms()
        scores = self.model.score(rows)
        self.took_ms += self._clock_ms() - begin_ms
        return scores

    def score_read(
        self, rows: ReadRows, at: Sequence[int], *, batch: Sequence[Sequence[float]] | None
    ) -> ReadScores:
        """Score rows that the engine has read, and measure."""
        reader = self.model.reader
        assert reader is not None
        begin_ms = self._clock_ms()
        scores = reader.score_read(rows, at, batch=batch)
        self.took_ms += self._clock_ms() - begin_ms
        return scores
