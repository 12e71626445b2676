"""The documented heuristic: what decides while there is no champion, and what gives reasons.

A score from a handful of rules over velocity and merchant fraud rate, each non-decreasing in
its feature, so that more transactions, more money, more merchants or more fraud never lower
the score. Pure; knows no model and no threshold. `decide` uses it for rows that no trained
model can take, and names the rules that a row hits as the reasons of any model's decision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.model import Scores
from schemas.decision import ModelRef
from schemas.feature_row import FeatureRow

HEURISTIC_NAME = "heuristic"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: nothing at ``low``, its full ``weight`` from ``high`` on, a line between.

    ::

        weight |            ________
               |          /
             0 |________/
                      low   high      value of the feature

    Attributes:
        feature: name of the feature; without a value the rule says nothing.
        low: value up to which the rule says nothing, in the feature's unit.
        high: value from which on it says all it has; above ``low``.
        weight: its part, above 0 and below 1.
        text: what people read, with ``{value}`` for the feature's value.
    """

    feature: str
    low: float
    high: float
    weight: float
    text: str


RULES = (
    Rule("user_transaction_count_5m", 3, 10, 0.70, "{value} transactions in 5 minutes"),
    Rule("user_transaction_count_1h", 6, 20, 0.50, "{value} transactions in 1 hour"),
    Rule("user_merchant_distinct_5m", 2, 6, 0.60, "{value} merchants in 5 minutes"),
    Rule("user_amount_sum_1h", 100_000, 1_000_000, 0.50, "amount {value} in 1 hour"),
    Rule("user_amount_sum_1d", 300_000, 3_000_000, 0.40, "amount {value} in 1 day"),
    Rule("merchant_fraud_rate_7d_delay_7d", 0.05, 0.50, 0.70, "merchant fraud rate {value}"),
    Rule("merchant_fraud_rate_30d_delay_7d", 0.03, 0.30, 0.50, "merchant fraud rate {value}, 30 d"),
)
"""The rules. Amounts are minor units, rates are shares.

Source: set by hand so that one full rule alone asks for a review at most and two independent
full rules may block; a model trained on labels replaces them.
"""


def rule_strengths(features: Mapping[str, int | float | None]) -> list[tuple[float, Rule]]:
    """Give the rules a row hits, with what each adds on its own, the strongest first.

    Equal strengths keep the order of `RULES`, so the same row always gives the same list.
    """
    hits = []
    for rule in RULES:
        value = features.get(rule.feature)
        if value is not None and value > rule.low:
            share = min(1.0, (value - rule.low) / (rule.high - rule.low))
            hits.append((rule.weight * share, rule))
    hits.sort(key=_by_strength_descending)
    return hits


def heuristic_score(features: Mapping[str, int | float | None]) -> float:
    """Give a score from 0 to below 1: each hit takes its share of what is left to 1.

    Examples:
        >>> heuristic_score({"user_transaction_count_5m": 1})
        0.0
        >>> round(heuristic_score({"user_transaction_count_5m": 99}), 3)
        0.7
        >>> both = {"user_transaction_count_5m": 99, "merchant_fraud_rate_7d_delay_7d": 0.9}
        >>> round(heuristic_score(both), 3)
        0.91
    """
    left = 1.0
    for strength, _ in rule_strengths(features):
        left *= 1.0 - strength
    return 1.0 - left


def notable(features: Mapping[str, int | float | None], *, texts_max: int) -> tuple[str, ...]:
    """Say in words which rules a row hits, the strongest first.

    Examples:
        >>> notable({"user_transaction_count_5m": 7}, texts_max=3)
        ('7 transactions in 5 minutes',)
    """
    return tuple(
        rule.text.format(value=_shown(features[rule.feature]))
        for _, rule in rule_strengths(features)[:texts_max]
    )


class HeuristicModel:
    """The rules as a `Model`: takes rows of any definition, needs no vector."""

    ref = ModelRef(
        name=HEURISTIC_NAME,
        version="rules-1",
        digest=hashlib.sha256(repr(RULES).encode()).hexdigest()[:16],
    )
    definition_digest = None
    batch_columns: tuple[str, ...] = ()

    def score(self, rows: Sequence[FeatureRow]) -> Scores:
        """Score each row by `heuristic_score`."""
        return Scores([heuristic_score(row.features) for row in rows], vectors=None)


HEURISTIC = HeuristicModel()


def _by_strength_descending(hit: tuple[float, Rule]) -> float:
    return -hit[0]


def _shown(value: int | float | None) -> str:
    return f"{value:.3g}" if isinstance(value, float) else f"{value}"
