"""Card precision: how many of the cards that investigators look at each day had a fraud.

Each day the users are ranked by their highest score, and the first `CARDS_A_DAY` are looked at. A
user that is found leaves the following days. Pure; called by `training.fitting.figures`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CARDS_A_DAY: Final = 100
"""How many cards a day can be looked at; the k of card precision@k."""

Cards = list[tuple[NDArray[np.intp], NDArray[np.bool_]]]
"""For each day its users, highest score first, and whether each had a fraud that day."""


def cards_by_day(
    days: NDArray[np.int64],
    users: NDArray[np.intp],
    scores: NDArray[np.float64],
    is_fraud: NDArray[np.bool_],
) -> Cards:
    """Rank the users of each day.

    Args:
        days: day number of each row.
        users: user number of each row, from 0.
        scores: of each row.
        is_fraud: of each row.
    """
    cards = (
        pd.DataFrame({"day": days, "user": users, "score": scores, "fraud": is_fraud})
        .groupby(["day", "user"], as_index=False, sort=True)
        .agg({"score": "max", "fraud": "max"})
        .sort_values(["day", "score"], ascending=[True, False], kind="stable")
    )
    return [
        (of_day["user"].to_numpy(dtype=np.intp), of_day["fraud"].to_numpy(dtype=bool))
        for _, of_day in cards.groupby("day", sort=True)
    ]


def card_precision(cards: Cards, user_weights: NDArray[np.float64]) -> float:
    """Give the mean over the days of the share of looked-at cards that had a fraud.

    Args:
        cards: as `cards_by_day` gives them.
        user_weights: how many cards each user stands for: 1, or how often a resample drew it.
    """
    left = user_weights.copy()
    shares = []
    for users, is_fraud in cards:
        weights = left[users]
        # A user who stands for several cards may fit into the day's limit in part.
        looked_at = np.clip(CARDS_A_DAY - (np.cumsum(weights) - weights), 0.0, weights)
        found = is_fraud & (looked_at > 0)
        shares.append(float(looked_at[found].sum()) / CARDS_A_DAY)
        left[users[found]] = 0.0
    return float(np.mean(shares))
