"""The policy: thresholds turn a score into an outcome.

Pure. `Policy` is that of transactions, built from the settings by `scoring.wiring` and called by
`scoring.core.decide` for the stream and the API alike. `DecisionPolicy` is that of any model, as
`models.definition` declares it.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise

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

    @property
    def of_any_model(self) -> DecisionPolicy:
        """The same policy with its words."""
        thresholds = (self.review_threshold, self.block_threshold)
        return DecisionPolicy(("APPROVE", "REVIEW", "BLOCK"), thresholds)


@dataclass(frozen=True, slots=True)
class DecisionPolicy:
    """Outcomes by score, in words of the model: each threshold lies between two of them.

    Args:
        outcomes: one more than thresholds, for the lowest scores first.
        thresholds: in order, each from 0 to 1; a score must be above one, not equal to it.

    Raises:
        ValueError: the numbers of outcomes and thresholds do not fit, an outcome is given twice or
            is blank, or the thresholds are not in order or not within 0 to 1.

    Examples:
        >>> policy = DecisionPolicy(("STAYS", "AT_RISK", "LEAVES"), (0.5, 0.8))
        >>> [policy.outcome(score) for score in (0.5, 0.51, 0.8, 0.81)]
        ['STAYS', 'AT_RISK', 'AT_RISK', 'LEAVES']
    """

    outcomes: tuple[str, ...]
    thresholds: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse outcomes and thresholds that do not fit together."""
        if len(self.outcomes) != len(self.thresholds) + 1:
            raise ValueError(
                f"{len(self.outcomes)} outcomes and {len(self.thresholds)} thresholds: one "
                "threshold is needed between two outcomes"
            )
        if len(set(self.outcomes)) != len(self.outcomes) or not all(
            outcome.strip() for outcome in self.outcomes
        ):
            raise ValueError(f"outcomes {list(self.outcomes)} must differ, and none be blank")
        if not all(0 <= one <= 1 for one in self.thresholds) or any(
            low > high for low, high in pairwise(self.thresholds)
        ):
            raise ValueError(f"thresholds {list(self.thresholds)} must be in order, within 0 to 1")

    def outcome(self, score: float) -> str:
        """Give the outcome of a score from 0 to 1.

        Raises:
            ValueError: the score is not a number from 0 to 1.
        """
        if not 0 <= score <= 1:
            raise ValueError(f"score {score!r} is not within 0 to 1; the model is faulty")
        return self.outcomes[bisect_left(self.thresholds, score)]
