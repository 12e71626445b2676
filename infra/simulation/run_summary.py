"""The figures of a run: the summary at its end, and what a person is shown while it goes on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from schemas.decision import Decision


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The outcome of a run, as the last line of `weir demo` prints it.

    Attributes:
        produced: transactions sent.
        features: of these, how many have a row in the feature log.
        decisions: of these, how many have a decision.
        lost: produced and without a decision when the run ended.
        duplicates: further decisions for a transaction that had one.
        dead_letters: transactions and labels of the run that were refused.
        p50_ms: median from the time a transaction was due to its decision's arrival here, ms,
            after the warm-up; null when nothing was measured.
        p99_ms: the 99th percentile of the same.
        feature_mismatches: feature values of the run that a recomputation does not give, and
            rows missing or extra; null when it was not done.
        model_version: version that made the newest decision.
    """

    produced: int
    features: int
    decisions: int
    lost: int
    duplicates: int
    dead_letters: int
    p50_ms: float | None
    p99_ms: float | None
    feature_mismatches: int | None
    model_version: str | None

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a run that goes on.

    Attributes:
        produced: transactions sent so far.
        decided: of these, decided.
        by_kind: decisions by outcome.
        p50_ms: median latency of the newest decisions; None before the first.
        p99_ms: the 99th percentile of the same.
        latest: newest decisions with their latency in ms, newest first.
    """

    produced: int
    decided: int
    by_kind: dict[str, int]
    p50_ms: float | None
    p99_ms: float | None
    latest: list[tuple[Decision, float]]


def percentile(ascending: list[float], percent: float) -> float | None:
    """The smallest value that at least ``percent`` of the values do not exceed; None if empty.

    Examples:
        >>> percentile([1.0, 2.0, 3.0, 4.0], 50.0)
        2.0
        >>> percentile([1.0, 2.0, 3.0, 4.0], 99.0)
        4.0
    """
    if not ascending:
        return None
    rank = -(-len(ascending) * percent // 100.0)
    return round(ascending[max(0, int(rank) - 1)], 2)
