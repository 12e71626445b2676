"""What takes the place of a champion of a model of users while there is none: it scores nothing.

The model of transactions has the heuristic instead (`models.heuristic`). Called by
`scoring.wiring`.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.model import Scores
from schemas.decision import ModelRef
from schemas.feature_row import FeatureRow


class NoChampion:
    """Implements `models.model.Model` as far as one can without a model.

    Args:
        name: of the registered model.
    """

    definition_digest = None
    batch_columns: tuple[str, ...] = ()
    spec = None
    reader = None

    def __init__(self, name: str) -> None:
        self.ref = ModelRef(name=name, version="none", digest="")

    def score(self, rows: Sequence[FeatureRow]) -> Scores:
        """Refuse.

        Raises:
            LookupError: always; callers ask for a champion first.
        """
        raise LookupError(f"model {self.ref.name} has no champion to score {len(rows)} rows")
