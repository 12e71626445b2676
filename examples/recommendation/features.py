"""The features of the recommendation: stored ones, and those that a ranking computes from them.

Feast stores those of shoppers and products; the context of a request makes the rest. Training and
serving call the same `ranking_columns`. Pure. The stored features are computed by
`examples.recommendation.profiles` and written by `examples.recommendation.online_features`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

DAYPARTS: Final = ("morning", "afternoon", "evening", "night")
"""Parts of the day, the context of a ranking."""

SHOPPER_VIEW: Final = "shopper_profile"
"""Feast's view of a shopper, by ``user_id``."""
PRODUCT_VIEW: Final = "product_profile"
"""Feast's view of a product, by ``product_id``."""
LIKED: Final = 3
"""How many categories a shopper's profile names."""

SHOPPER_FEATURES: Final[Mapping[str, str]] = {
    "shopper_purchases_60d": "int64",
    "shopper_price_mean_minor_60d": "double",
    **{f"shopper_category_{place}_60d": "int64" for place in range(1, LIKED + 1)},
    **{f"shopper_category_{place}_share_60d": "double" for place in range(1, LIKED + 1)},
}
"""Name to type: the number of purchases, their mean price, and the categories with most of them."""

PRODUCT_FEATURES: Final[Mapping[str, str]] = {
    "product_category": "int64",
    "product_price_minor": "int64",
    "product_purchases_60d": "int64",
    **{f"product_{daypart}_share_60d": "double" for daypart in DAYPARTS},
}
"""Name to type: the product, how often it was bought, and in which part of the day."""

RANKING_COLUMNS: Final = (
    "candidate_score",
    "candidate_place",
    "product_purchases_60d",
    "product_price_minor",
    "price_to_shopper_mean",
    "category_share",
    "daypart_share",
    "shopper_purchases_60d",
    "shopper_category_1_share_60d",
)
"""The columns of the model, in order; see `ranking_columns`."""

_PURCHASES, _PRICE_MEAN = 0, 1
_CATEGORIES = slice(2, 2 + LIKED)
_SHARES = slice(2 + LIKED, 2 + 2 * LIKED)
_CATEGORY, _PRICE, _PRODUCT_PURCHASES, _DAYPARTS_FROM = 0, 1, 2, 3


def ranking_columns(
    shoppers: Matrix, products: Matrix, scores: Matrix, places: Matrix, dayparts: NDArray[np.int64]
) -> Matrix:
    """Give the vectors of some candidates, one row for each.

    Args:
        shoppers: shape (rows, `SHOPPER_FEATURES`), NaN where there is no value.
        products: shape (rows, `PRODUCT_FEATURES`), NaN where there is no value.
        scores: that found the candidates.
        places: of the candidates among those of the shopper, from 0.
        dayparts: positions in `DAYPARTS`; -1 where it is not known.

    Returns:
        Shape (rows, `RANKING_COLUMNS`). ``category_share`` is the shopper's share of the product's
        category, 0 if it is not among the first. ``daypart_share`` is the product's share of the
        part of the day, NaN if that is not known.
    """
    is_category = shoppers[:, _CATEGORIES] == products[:, _CATEGORY, None]
    category_share = np.where(is_category, shoppers[:, _SHARES], 0.0).sum(axis=1)
    is_unknown = np.isnan(products[:, _CATEGORY]) | np.isnan(shoppers[:, _PURCHASES])
    rows = np.arange(len(products))
    daypart_share = products[rows, _DAYPARTS_FROM + np.maximum(dayparts, 0)]
    return np.column_stack(
        [
            scores,
            places,
            products[:, _PRODUCT_PURCHASES],
            products[:, _PRICE],
            products[:, _PRICE] / shoppers[:, _PRICE_MEAN],
            np.where(is_unknown, np.nan, category_share),
            np.where(dayparts < 0, np.nan, daypart_share),
            shoppers[:, _PURCHASES],
            shoppers[:, _SHARES.start],
        ]
    )
