"""Golden rows, ``weir/golden.json``: vectors with the scores that the fitted trees gave them.

They prove that compiled trees score as the fitted ones did: training checks them before it
registers a version, and the scorer checks them again before it uses one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.artifact.signature import TOLERANCE, json_object
from models.errors import GoldenRowsMismatchError


@dataclass(frozen=True, slots=True, eq=False)
class GoldenRows:
    """Rows and their scores.

    Attributes:
        rows: shape (rows, columns), NaN where there is no value.
        scores: shape (rows,), the probability of fraud that the fitted trees gave each row.
    """

    rows: NDArray[np.float64]
    scores: NDArray[np.float64]

    def to_json(self) -> bytes:
        """Give the content of the file; `from_json` reads the same numbers to the last bit."""
        # JSON has no NaN, so null stands for it.
        cells = [[None if np.isnan(cell) else cell for cell in row] for row in self.rows.tolist()]
        return json.dumps({"rows": cells, "scores": self.scores.tolist()}).encode()

    @classmethod
    def from_json(cls, content: bytes, *, columns: int, of: str) -> GoldenRows:
        """Read the content of the file.

        Args:
            content: of the file.
            columns: how many numbers each row must have.
            of: the version, for error messages: "model NAME version NUMBER".

        Raises:
            SignatureMismatchError: it is not a JSON object.
            GoldenRowsMismatchError: it does not hold rows of this width, each with a score.
        """
        golden = json_object(content, of=f"{of}: golden.json")
        try:
            rows = np.array(golden["rows"], dtype=np.float64)
            scores = np.array(golden["scores"], dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise GoldenRowsMismatchError(
                f"{of}: golden.json holds no rows with scores: {error!r:.200}"
            ) from error
        if not len(scores.shape) == 1 <= len(scores) or rows.shape != (len(scores), columns):
            raise GoldenRowsMismatchError(
                f"{of}: golden.json must hold as many scores as rows, at least one, each row of "
                f"{columns} columns; it holds arrays of the shapes {rows.shape} and {scores.shape}"
            )
        return cls(rows, scores)

    def difference(self, scores: NDArray[np.float64]) -> str | None:
        """Describe how scores of the rows differ from the recorded ones.

        Args:
            scores: shape (rows,); NaN differs from everything.

        Returns:
            How many differ by more than `TOLERANCE`, and the first of them; None if none does.
        """
        wrong = ~(np.abs(scores - self.scores) <= TOLERANCE)
        if not wrong.any():
            return None
        first = int(np.argmax(wrong))
        return (
            f"{int(wrong.sum())} of {len(self.scores)} golden rows score differently, the first is "
            f"row {first}: {float(scores[first])!r} instead of {float(self.scores[first])!r}, "
            f"limit {TOLERANCE}"
        )
