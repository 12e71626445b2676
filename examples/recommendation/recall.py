"""Recall at 10, and the rankings that a recommendation is compared with.

Pure. Called by the training, which promotes a version only if its recall is better, and by the
evaluation.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from examples.recommendation.ranking import TOP
from examples.recommendation.tables import Interactions, Visits
from examples.recommendation.world import World

Positions = NDArray[np.int64]
SHOPPERS_AT_ONCE: Final = 500


def recall_at_top(top: Positions, visits: Visits) -> NDArray[np.float64]:
    """Give the recall of each visit: the share of what was bought that was among the first ten.

    Args:
        top: shape (visits, at most `TOP`), positions of the products that were recommended; -1 for
            none.
        visits: what was bought.

    Returns:
        Shape (visits,). A visit with more than ten products can have all of ten right.

    Examples:
        >>> visits = Visits(np.array([0]), np.array([0]), np.array([[7, 8, -1]]))
        >>> recall_at_top(np.array([[1, 7, -1]]), visits)
        array([0.5])
    """
    is_bought = visits.bought >= 0
    is_hit = (visits.bought[:, :, None] == top[:, None, :TOP]) & is_bought[:, :, None]
    hits = is_hit.any(axis=2).sum(axis=1)
    found: NDArray[np.float64] = hits / np.clip(is_bought.sum(axis=1), 1, TOP)
    return found


def popular_top(popular: Positions, bought: Interactions, visits: Visits) -> Positions:
    """Give the first popular products that each shopper does not have, shape (visits, `TOP`)."""
    owned = _owned(bought, visits.user)
    top = np.full((len(visits.user), TOP), -1, dtype=np.int64)
    for row, number in enumerate(visits.user.tolist()):
        new = popular[~np.isin(popular, owned[number])][:TOP]
        top[row, : len(new)] = new
    return top


def known_top(world: World, bought: Interactions, visits: Visits) -> Positions:
    """Give the best possible ranking: by the tastes of the world, without what a shopper has.

    The visits must be of the world's own tables, whose shoppers and products are numbered in order.
    """
    owned = _owned(bought, visits.user)
    tops = []
    for start in range(0, len(visits.user), SHOPPERS_AT_ONCE):
        part = slice(start, start + SHOPPERS_AT_ONCE)
        users = np.array([_number(bought.users[number]) for number in visits.user[part]])
        probabilities = world.probabilities(users, visits.daypart[part])
        for row, number in enumerate(visits.user[part].tolist()):
            probabilities[row, owned[number]] = -1.0
        tops.append(np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP])
    return np.vstack(tops)


def _number(user_id: str) -> int:
    return int(user_id.rpartition("-")[2])


def _owned(bought: Interactions, users: Positions) -> dict[int, Positions]:
    """Give what each of some shoppers has bought."""
    wanted = np.isin(bought.user, users)
    user, product = bought.user[wanted], bought.product[wanted]
    order = np.argsort(user, kind="stable")
    user, product = user[order], product[order]
    starts = np.searchsorted(user, users), np.searchsorted(user, users, side="right")
    return {
        number: product[first:last]
        for number, first, last in zip(users.tolist(), *starts, strict=True)
    }
