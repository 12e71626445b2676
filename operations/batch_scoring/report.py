"""What a batch scoring did: counts, scores, times, and how its scores differ from the run before.

Pure. Built by `run`, printed by `weir batch score`, logged by `tracking`.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import fsum, log
from typing import Any, Final

from streams.batch_scoring.plan import PartResult

_SHARE_MIN: Final = 1e-6
"""Share that an empty bin counts as in the stability index, which has no value for 0."""


@dataclass(frozen=True, slots=True)
class Drift:
    """The scores of a run beside those of the run of the same model before it.

    Attributes:
        run_id: of the run before.
        mean_change: mean score now minus then.
        stability_index: population stability index over the bins of the histograms: 0 for equal
            shares; above 0.25 the scores are commonly said to have shifted.
    """

    run_id: str
    mean_change: float
    stability_index: float


@dataclass(frozen=True, slots=True)
class ScoringReport:
    """What one run did.

    Attributes:
        run_id: of the run.
        model_name: of the registered model.
        model_version: its number.
        data_version: of the rows that were scored; `reach` says it in full.
        reach: how far the archive went, or which files the table had; JSON.
        prediction_dates: ISO dates that were published.
        parts: how many there were.
        rows: predictions.
        left_out: rows that are no prediction: repeats, and rows of other definitions.
        rows_per_s: predictions a second of the whole run.
        score_mean: mean of the scores.
        histogram: of the scores, in equal bins from 0 to 1.
        outcomes: predictions by decision.
        nulls: missing values by column of the vector.
        seconds: by step of the run, wall clock; their sum is the whole run.
        task_seconds: by step within the parts, added up over the tasks, which work side by side.
        drift: None for the first run of the model.
    """

    run_id: str
    model_name: str
    model_version: str
    data_version: str
    reach: str
    prediction_dates: tuple[str, ...]
    parts: int
    rows: int
    left_out: int
    rows_per_s: float
    score_mean: float
    histogram: tuple[int, ...]
    outcomes: Mapping[str, int]
    nulls: Mapping[str, int]
    seconds: Mapping[str, float]
    task_seconds: Mapping[str, float]
    drift: Drift | None

    def to_json(self) -> str:
        """Give the report as JSON."""
        return json.dumps(asdict(self))


def add_up(results: Sequence[PartResult]) -> dict[str, Any]:
    """Add up what the parts gave; gives fields of `ScoringReport`.

    Args:
        results: of all parts, in their order, so that equal parts give equal means.
    """
    rows = sum(result.rows for result in results)
    return {
        "parts": len(results),
        "rows": rows,
        "left_out": sum(result.left_out for result in results),
        "score_mean": fsum(result.score_sum for result in results) / rows if rows else 0.0,
        "histogram": tuple(map(sum, zip(*(result.histogram for result in results), strict=True))),
        "outcomes": _sums([result.outcomes for result in results]),
        "nulls": _sums([result.nulls for result in results]),
        "task_seconds": _sums([result.seconds for result in results]),
    }


def compare(
    *, histogram: Sequence[int], score_mean: float, before: Mapping[str, Any] | None
) -> Drift | None:
    """Compare scores with those of an earlier report.

    Args:
        histogram: of the scores now.
        score_mean: of the scores now.
        before: the earlier report as `ScoringReport.to_json` wrote it; None: there is none.

    Examples:
        >>> then = {"run_id": "a", "score_mean": 0.5, "histogram": [5, 5]}
        >>> compare(histogram=[50, 50], score_mean=0.5, before=then)
        Drift(run_id='a', mean_change=0.0, stability_index=0.0)
        >>> round(compare(histogram=[9, 1], score_mean=0.2, before=then).stability_index, 3)
        0.879
    """
    if before is None or len(before["histogram"]) != len(histogram):
        return None
    now, then = _shares(histogram), _shares(before["histogram"])
    index = fsum((a - b) * log(a / b) for a, b in zip(now, then, strict=True))
    return Drift(before["run_id"], score_mean - before["score_mean"], index)


def _shares(histogram: Sequence[int]) -> list[float]:
    total = sum(histogram) or 1
    return [max(count / total, _SHARE_MIN) for count in histogram]


def _sums(counted: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    total: Counter[str] = Counter()
    for one in counted:
        total.update(one)
    return dict(total)
