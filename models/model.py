"""The interface of every model: it scores feature rows.

`models.artifact.load.LoadedModel` and `models.heuristic.HeuristicModel` implement it;
`scoring.core.decide` calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from schemas.decision import ModelRef
from schemas.feature_row import FeatureRow


class Scores(NamedTuple):
    """The scores of a batch, one for each row, in the order of the rows."""

    scores: list[float]
    vectors: list[list[float]] | None
    """The vectors that were scored, NaN where there is no value; None if the model needs none."""


class Model(Protocol):
    """Scores feature rows. Called by `decide` on the event loop; pure and deterministic."""

    @property
    def ref(self) -> ModelRef:
        """Name, version and digest, as decisions give them."""
        ...

    @property
    def definition_digest(self) -> str | None:
        """Digest of the feature definitions it was trained on; None if it takes rows of any."""
        ...

    @property
    def batch_columns(self) -> tuple[str, ...]:
        """The batch features it takes; the features of a row to score must include them."""
        ...

    def score(self, rows: Sequence[FeatureRow]) -> Scores:
        """Score a batch in one call.

        Blocks: for the computation only, some 20 us a row. Raises nothing for rows that
        `schemas.codec` has accepted; null means that a feature has no value.
        """
        ...
