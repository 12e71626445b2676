"""Counts what one part gave: rows, scores, decisions, missing values, and where its time went.

Called by `stage`; `operations.batch_scoring` adds the parts of a run up.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from streams.batch_scoring.plan import HISTOGRAM_BINS, PartResult


class Tally:
    """The figures of one part, batch by batch.

    Args:
        columns: of the vectors.
        outcomes: the decisions, in the order of their codes.
    """

    def __init__(self, columns: Sequence[str], outcomes: Sequence[str]) -> None:
        self.left_out = 0
        self._columns = columns
        self._outcomes = outcomes
        self._rows = 0
        self._score_sum = 0.0
        self._histogram = np.zeros(HISTOGRAM_BINS, dtype=np.int64)
        self._by_code = np.zeros(len(outcomes), dtype=np.int64)
        self._nulls = np.zeros(len(columns), dtype=np.int64)
        self._seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the time of a block to a step."""
        began_s = time.perf_counter()
        yield
        took_s = time.perf_counter() - began_s
        self._seconds[step] = self._seconds.get(step, 0.0) + took_s

    def count(
        self, scores: NDArray[np.float64], codes: NDArray[np.int8], vectors: NDArray[np.float64]
    ) -> None:
        """Count a batch."""
        self._rows += len(scores)
        self._score_sum += float(scores.sum())
        # A score of exactly 1 belongs to the last bin.
        bins = np.minimum((scores * HISTOGRAM_BINS).astype(np.int64), HISTOGRAM_BINS - 1)
        self._histogram += np.bincount(bins, minlength=HISTOGRAM_BINS)
        self._by_code += np.bincount(codes, minlength=len(self._outcomes))
        self._nulls += np.isnan(vectors).sum(axis=0)

    def result(self, number: int) -> PartResult:
        """Give the figures as the result of a part."""
        nulls = dict(zip(self._columns, self._nulls.tolist(), strict=True))
        return PartResult(
            number=number,
            rows=self._rows,
            left_out=self.left_out,
            score_sum=self._score_sum,
            histogram=tuple(self._histogram.tolist()),
            outcomes=dict(zip(self._outcomes, self._by_code.tolist(), strict=True)),
            nulls={name: count for name, count in nulls.items() if count},
            seconds=self._seconds,
        )
