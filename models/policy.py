"""The policy: two thresholds turn a score into an outcome.

Pure. Built from the settings by `scoring.wiring`; called by `scoring.core.decide` for the stream
and the API alike.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.decision import Outcome


@dataclass(frozen=True, slots=True)
class Policy:
    """Outcomes by score; a score must be above a threshold, not equal to it.

    ::

        score   0 ............ review ............ block ............ 1
                    APPROVE  ]        REVIEW     ]        BLOCK

    Args:
        review_threshold: a score above it is REVIEW; 0 to 1.
        block_threshold: a score above it is BLOCK; not below ``review_threshold``, at most 1.

    Raises:
        ValueError: the thresholds are not in order or not within 0 to 1.

    Examples:
        >>> policy = Policy(review_threshold=0.5, block_threshold=0.9)
        >>> [policy.outcome(score) for score in (0.5, 0.51, 0.9, 0.91)]
        ['APPROVE', 'REVIEW', 'REVIEW', 'BLOCK']
    """

    review_threshold: float
    block_threshold: float

    def __post_init__(self) -> None:
        """Refuse thresholds that are out of order or no probabilities."""
        if not 0 <= self.review_threshold <= self.block_threshold <= 1:
            raise ValueError(
                f"review_threshold={self.review_threshold} and "
                f"block_threshold={self.block_threshold} must be in order and within 0 to 1"
            )

    def outcome(self, score: float) -> Outcome:
        """Give the outcome of a score from 0 to 1.

        Raises:
            ValueError: the score is not a number from 0 to 1; NaN would otherwise be APPROVE.
        """
        if not 0 <= score <= 1:
            raise ValueError(f"score {score!r} is not within 0 to 1; the model is faulty")
        if score > self.block_threshold:
            return "BLOCK"
        if score > self.review_threshold:
            return "REVIEW"
        return "APPROVE"

    def explain(self, score: float) -> str:
        """Describe which threshold gave the outcome.

        Examples:
            >>> Policy(review_threshold=0.5, block_threshold=0.9).explain(0.25)
            'score 0.250 is not above 0.5'
        """
        if score > self.block_threshold:
            return f"score {score:.3f} is above {self.block_threshold:g}"
        if score > self.review_threshold:
            return f"score {score:.3f} is above {self.review_threshold:g}"
        return f"score {score:.3f} is not above {self.review_threshold:g}"
