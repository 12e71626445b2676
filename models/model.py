"""The interface of every model: it scores feature rows.

`models.artifact.load.LoadedModel` and `models.heuristic.HeuristicModel` implement it;
`scoring.core.decide` calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from features.engine.rows import ReadRows
from models.encoding.vector import VectorSpec
from schemas.decision import ModelRef
from schemas.feature_row import FeatureRow


class Scores(NamedTuple):
    """The scores of a batch, one for each row, in the order of the rows."""

    scores: list[float]
    vectors: list[list[float]] | None
    """The vectors that were scored, NaN where there is no value; None if the model needs none."""


class ReadScores(NamedTuple):
    """The scores of rows that the engine has read, one for each row, in the order of the rows."""

    scores: list[float]
    vector_digests: list[str]
    """The digest of each vector that was scored, as `models.encoding.vector.vector_digest`."""


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

    @property
    def spec(self) -> VectorSpec | None:
        """By what its vectors follow from events and features; None if it needs no vector."""
        ...

    def score(self, rows: Sequence[FeatureRow]) -> Scores:
        """Score a batch in one call.

        Blocks: for the computation only, some 20 us a row. Raises nothing for rows that
        `schemas.codec` has accepted; null means that a feature has no value.
        """
        ...

    @property
    def reader(self) -> ReadRowsModel | None:
        """Scores rows that the engine has read; None if this model takes decoded rows only."""
        ...


class ReadRowsModel(Protocol):
    """Scores rows of the model's definitions that the engine has read, without decoding them."""

    def score_read(
        self, rows: ReadRows, at: Sequence[int], *, batch: Sequence[Sequence[float]] | None
    ) -> ReadScores:
        """Score rows in one call; gives what `Model.score` would.

        Args:
            rows: what the engine has read.
            at: the positions of the rows to score.
            batch: for each of them the values of ``batch_columns``, NaN where there is none; None
                if the model takes none.
        """
        ...
