"""The heuristic: a model of a few rules, which needs no training.

It scores while there is no champion. Every decision names the rules that its transaction matches,
whichever model scored; they are the reasons of the score only if the heuristic scored.
Each rule is non-decreasing in its feature: more transactions, money, merchants or fraud never
lower the score. Pure; knows no trained model and no threshold. Called by `scoring.core.decide`.
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
    """One rule: it adds nothing up to ``low`` and its full ``weight`` from ``high`` on.

    ::

        weight |            ________
               |          /
             0 |________/
                      low   high      value of the feature

    Attributes:
        feature: name of the feature; the rule adds nothing if it has no value.
        low: value up to which the rule adds nothing, in the feature's unit.
        high: value from which on it adds its full weight; above ``low``.
        weight: above 0 and below 1.
        text: its text in a decision, with ``{value}`` for the feature's value.
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

They were set by hand: one rule with its full weight leads to a review at most, and two
independent ones may block. A model trained on labels replaces them.
"""


_PARTS = tuple((rule.feature, rule.low, rule.high - rule.low, rule.weight, rule) for rule in RULES)
_AROUND_VALUE = {rule.text: tuple(rule.text.split("{value}")) for rule in RULES}


def matched_rules(features: Mapping[str, int | float | None]) -> list[tuple[float, Rule]]:
    """Give the rules that add something for a row, each with its strength, the strongest first.

    Equal strengths keep the order of `RULES`, so equal rows give equal lists.
    """
    matched = []
    for feature, low, width, weight, rule in _PARTS:
        value = features.get(feature)
        if value is not None and value > low:
            share = (value - low) / width
            matched.append((weight * share if share < 1.0 else weight, rule))
    if len(matched) > 1:
        matched.sort(key=_by_strength_descending)
    return matched


def heuristic_score(features: Mapping[str, int | float | None]) -> float:
    """Give a score from 0 to below 1: each matched rule takes its share of what is left to 1.

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
    for strength, _ in matched_rules(features):
        left *= 1.0 - strength
    return 1.0 - left


def matched_rule_texts(
    features: Mapping[str, int | float | None], *, texts_max: int
) -> tuple[str, ...]:
    """Give the texts of the rules that match a row, the strongest first.

    Examples:
        >>> matched_rule_texts({"user_transaction_count_5m": 7}, texts_max=3)
        ('7 transactions in 5 minutes',)
    """
    texts = []
    for _, rule in matched_rules(features)[:texts_max]:
        before, after = _AROUND_VALUE[rule.text]
        texts.append(f"{before}{_shown(features[rule.feature])}{after}")
    return tuple(texts)


class HeuristicModel:
    """The rules as a `Model`: takes rows of any feature definitions, needs no vector."""

    ref = ModelRef(
        name=HEURISTIC_NAME,
        version="rules-1",
        digest=hashlib.sha256(repr(RULES).encode()).hexdigest()[:16],
    )
    definition_digest = None
    batch_columns: tuple[str, ...] = ()
    spec = None
    reader = None

    def score(self, rows: Sequence[FeatureRow]) -> Scores:
        """Score each row by `heuristic_score`."""
        return Scores([heuristic_score(row.features) for row in rows], vectors=None)


HEURISTIC = HeuristicModel()


def _by_strength_descending(matched: tuple[float, Rule]) -> float:
    return -matched[0]


def _shown(value: int | float | None) -> str:
    return f"{value:.3g}" if isinstance(value, float) else f"{value}"
