"""What is counted of a shadow rollout: the challenger's decisions beside the control's.

Pure, and O(1) memory. The worker writes what the control decided into a header of each shadow
decision, so one record holds both, and nothing has to be joined.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple, Self

import orjson

from operations.rollouts.losses import OUTCOMES
from schemas.rollout import Rollout
from schemas.rollout_state import Figure

MODEL_MS_BOUNDS: Final = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
"""Upper bounds of the classes in which durations of model calls are counted, ms."""


class ShadowPair(NamedTuple):
    """What both versions made of one transaction."""

    control: int
    """Index of the control's outcome in ``losses.OUTCOMES``."""
    challenger: int
    control_score: float
    challenger_score: float
    model_ms: float
    """Duration of the challenger's model call, with up to 15 others of its batch, ms."""


def read_pair(rollout: Rollout, value: bytes, control: bytes | None) -> ShadowPair | None:
    """Read a shadow decision; None if it is of another rollout.

    Args:
        rollout: the one that is counted.
        value: of the record.
        control: its header ``weir-control``.

    Raises:
        ValueError, KeyError, TypeError: it is no shadow decision.
    """
    if f'"{rollout.rollout_id}"'.encode() not in value:
        return None
    obj = orjson.loads(value)
    if (obj.get("rollout") or {}).get("id") != rollout.rollout_id:
        return None
    if control is None:
        raise ValueError("it does not say what the control decided")
    beside = orjson.loads(control)
    return ShadowPair(
        OUTCOMES.index(beside["decision"]),
        OUTCOMES.index(obj["decision"]),
        float(beside["score"]),
        float(obj["score"]),
        float(obj["model_ms"]),
    )


@dataclass(slots=True)
class ShadowTotals:
    """Sums over the pairs of a shadow rollout.

    Attributes:
        mix: number of pairs by the control's outcome and, within it, by the challenger's.
        difference: sum of the challenger's scores less the control's.
        distance: sum of the absolute differences of the scores.
        distance_max: largest of them.
        model_ms: number of pairs by the class of `MODEL_MS_BOUNDS`; the last class is above all.
    """

    mix: list[list[int]] = field(default_factory=lambda: [[0] * len(OUTCOMES) for _ in OUTCOMES])
    difference: float = 0.0
    distance: float = 0.0
    distance_max: float = 0.0
    model_ms: list[int] = field(default_factory=lambda: [0] * (len(MODEL_MS_BOUNDS) + 1))

    @property
    def pairs(self) -> int:
        """Number of transactions that both versions decided on."""
        return sum(sum(row) for row in self.mix)

    def add(self, pair: ShadowPair) -> None:
        """Count a pair."""
        self.mix[pair.control][pair.challenger] += 1
        difference = pair.challenger_score - pair.control_score
        self.difference += difference
        self.distance += abs(difference)
        self.distance_max = max(self.distance_max, abs(difference))
        self.model_ms[sum(pair.model_ms > bound for bound in MODEL_MS_BOUNDS)] += 1

    def to_json(self) -> dict[str, Any]:
        """Give the sums as JSON has them."""
        return asdict(self)

    @classmethod
    def from_json(cls, obj: dict[str, Any]) -> Self:
        """Read what `to_json` gave."""
        return cls(**obj)


def shadow_figures(rollout: Rollout, totals: ShadowTotals, *, decisions: int) -> list[Figure]:
    """Describe a shadow rollout in sentences.

    Args:
        rollout: as it is.
        totals: what was counted.
        decisions: of the control, without repeats.
    """
    pairs, version = totals.pairs, rollout.challengers[0].version
    scored = Figure(
        "shadow_decisions",
        pairs,
        f"Version {version} has scored {pairs:,} transactions beside the control, which has "
        f"decided on {decisions:,}; rows that found the queue full were dropped.",
    )
    if not pairs:
        return [scored]
    equal = sum(totals.mix[at][at] for at in range(len(OUTCOMES))) / pairs
    mean, more = totals.distance / pairs, totals.difference / pairs
    return [
        scored,
        Figure(
            "shadow_agreement",
            equal,
            f"Both versions give the same outcome to {equal:.2%} of the transactions.",
        ),
        *[_mix_figure(totals, at, version) for at in range(len(OUTCOMES))],
        Figure(
            "shadow_score_difference",
            mean,
            f"The scores differ by {mean:.4f} on average and by {totals.distance_max:.4f} at most; "
            f"those of version {version} are {abs(more):.4f} "
            f"{'higher' if more >= 0 else 'lower'} on average.",
        ),
        _latency_figure(totals, version),
    ]


def _mix_figure(totals: ShadowTotals, at: int, version: str) -> Figure:
    name, pairs = OUTCOMES[at], totals.pairs
    now = sum(totals.mix[at]) / pairs
    would = sum(row[at] for row in totals.mix) / pairs
    return Figure(
        f"shadow_{name.lower()}_share",
        would,
        f"{name}: {would:.2%} of the transactions with version {version}, {now:.2%} now.",
    )


def _latency_figure(totals: ShadowTotals, version: str) -> Figure:
    half, most = _quantile_ms(totals, 0.5), _quantile_ms(totals, 0.99)
    return Figure(
        "shadow_model_ms_p99",
        most,
        f"A model call of version {version}, for up to 16 rows, takes {_at_most(half)} for half of "
        f"the transactions and {_at_most(most)} for 99 % of them.",
    )


def _at_most(bound_ms: float | None) -> str:
    if bound_ms is None:
        return f"more than {MODEL_MS_BOUNDS[-1]:,} ms"
    return f"at most {bound_ms:g} ms"


def _quantile_ms(totals: ShadowTotals, share: float) -> float | None:
    counted, wanted = 0, share * totals.pairs
    for bound_ms, count in zip(MODEL_MS_BOUNDS, totals.model_ms, strict=False):
        counted += count
        if counted >= wanted:
            return bound_ms
    return None
