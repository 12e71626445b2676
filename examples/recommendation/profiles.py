"""Computes the stored features of shoppers and products from purchases, column by column.

Pure. Called by the nightly job, and by the training, which takes the features as of the same time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from examples.recommendation.features import DAYPARTS, LIKED, Matrix
from examples.recommendation.tables import Catalogue, Interactions

PRIOR_PURCHASES = 20
"""A product's shares of the day count as so many purchases of its category."""


def shopper_profiles(bought: Interactions, catalogue: Catalogue) -> Matrix:
    """Give the features of each shopper of ``bought``, in the order of its users.

    Returns:
        Shape (users, `examples.recommendation.features.SHOPPER_FEATURES`). A shopper with fewer
        categories than the profile names has category -1 with share 0.
    """
    users, categories = len(bought.users), 1 + int(catalogue.category.max())
    purchases = np.bincount(bought.user, minlength=users)
    spent = np.bincount(bought.user, catalogue.price_minor[bought.product], minlength=users)
    cell = bought.user * categories + catalogue.category[bought.product]
    counts = np.bincount(cell, minlength=users * categories).reshape(users, categories)
    # The lower category first where two have as many.
    liked = np.argsort(-counts, axis=1, kind="stable")[:, :LIKED]
    shares = np.take_along_axis(counts, liked, axis=1) / np.maximum(purchases, 1)[:, None]
    profiles = np.zeros((users, 2 + 2 * LIKED))
    profiles[:, 0] = purchases
    profiles[:, 1] = spent / np.maximum(purchases, 1)
    profiles[:, 2 : 2 + liked.shape[1]] = np.where(shares > 0, liked, -1)
    profiles[:, 2 + LIKED : 2 + LIKED + liked.shape[1]] = shares
    return profiles


def product_profiles(bought: Interactions, catalogue: Catalogue) -> Matrix:
    """Give the features of each product of the catalogue, in its order.

    Returns:
        Shape (products, `examples.recommendation.features.PRODUCT_FEATURES`).
    """
    products, parts = len(catalogue.products), len(DAYPARTS)
    counts = _by_daypart(bought.product, bought.daypart, products)
    of_category = _by_daypart(
        catalogue.category[bought.product], bought.daypart, 1 + int(catalogue.category.max())
    )
    prior = (of_category + 1) / (of_category + 1).sum(axis=1, keepdims=True)
    weighted = counts + PRIOR_PURCHASES * prior[catalogue.category]
    shares = weighted / (counts.sum(axis=1) + PRIOR_PURCHASES)[:, None]
    profiles = np.empty((products, 3 + parts))
    profiles[:, 0] = catalogue.category
    profiles[:, 1] = catalogue.price_minor
    profiles[:, 2] = np.bincount(bought.product, minlength=products)
    profiles[:, 3:] = shares
    return profiles


def _by_daypart(
    of: NDArray[np.int64], daypart: NDArray[np.int64], groups: int
) -> NDArray[np.float64]:
    parts = len(DAYPARTS)
    is_known = daypart >= 0
    cell = of[is_known] * parts + daypart[is_known]
    return np.bincount(cell, minlength=groups * parts).reshape(groups, parts).astype(np.float64)
