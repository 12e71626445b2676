"""What every model can do: score feature rows. A loaded forest and the heuristic both do it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from schemas.decision import ModelRef
from schemas.feature_row import FeatureRow


class Scores(NamedTuple):
    """What a model says of a batch; one element a row, in the order of the rows."""

    scores: list[float]
    vectors: list[list[float]] | None
    """The exact inputs, NaN for "no value"; None when the model needs none."""


class Model(Protocol):
    """Scores feature rows. Called by `decide` on the event loop; pure and deterministic."""

    @property
    def ref(self) -> ModelRef:
        """Who scores, as decisions say it."""
        ...

    @property
    def definition_digest(self) -> str | None:
        """The feature definitions it was trained on; None: it takes rows of any."""
        ...

    @property
    def batch_columns(self) -> tuple[str, ...]:
        """The batch features it takes: rows to score must have them among their features."""
        ...

    def score(self, rows: Sequence[FeatureRow]) -> Scores:
        """Score a batch in one call.

        Blocks: for the computation only, some 20 us a row. Raises nothing for rows that
        `schemas.codec` has let through; a feature that is missing or null counts as no value.
        """
        ...
