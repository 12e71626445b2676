"""Asks the API for every visit of the test, and compares its recall with what else there is.

The rankings beside it: popular products alone, the candidates in the order in which they were
found, and, for a world of this example, the tastes themselves: no ranking can be better. Called by
the command of the example.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from examples.recommendation.candidates import CANDIDATES, popular_products
from examples.recommendation.features import DAYPARTS
from examples.recommendation.files import read_night
from examples.recommendation.fitting import impressions, ranked_top
from examples.recommendation.ranking import TOP
from examples.recommendation.recall import known_top, popular_top, recall_at_top
from examples.recommendation.tables import TEST, Catalogue, Visits, read_tables, read_visits
from examples.recommendation.world_tables import WORLD_FILE, read_world

Ask = Callable[[str, str | None], dict[str, Any]]
"""Gives the answer of the API for a user and a part of the day."""


class Evaluation(NamedTuple):
    """The recall at 10 of each ranking, on the same visits.

    Attributes:
        visits: how many.
        recall: by ranking, the mean of the visits.
        error: its standard error.
        sources: how many answers of the API were from candidates, popular, or none.
        degraded: how often each word was in an answer.
    """

    visits: int
    recall: dict[str, float]
    error: dict[str, float]
    sources: dict[str, int]
    degraded: dict[str, int]

    def lines(self) -> list[str]:
        """Give what to print."""
        return [
            f"recall at {TOP} in {self.visits} visits (standard error):",
            *(
                f"  {name:<28} {recall:.4f} ({self.error[name]:.4f})"
                for name, recall in self.recall.items()
            ),
            f"answers of the API: {self.sources or 'none'}, degraded: {self.degraded or 'none'}",
        ]


def evaluate(directory: Path, ask: Ask) -> Evaluation:
    """Compare the API's rankings with the others.

    Args:
        directory: with the tables and the files of the night.
        ask: asks the API.

    Raises:
        TablesError: tables or files are missing.
    """
    bought, catalogue = read_tables(directory)
    visits = read_visits(directory, bought, catalogue, part=TEST)
    users = [bought.users[number] for number in visits.user]
    popular = popular_products(bought, products=len(catalogue.products), count=CANDIDATES)
    shown = impressions(visits, read_night(directory, users))
    asked, sources, degraded = _asked(users, visits, catalogue, ask)
    tops = {
        "popular products": popular_top(popular, bought, visits),
        "candidates, unranked": ranked_top(None, shown, len(users)),
        "the API": asked,
    }
    if (directory / WORLD_FILE).exists():
        tops["the world's known tastes"] = known_top(read_world(directory), bought, visits)
    recalls = {name: recall_at_top(top, visits) for name, top in tops.items()}
    return Evaluation(
        len(users),
        {name: float(recall.mean()) for name, recall in recalls.items()},
        {name: float(recall.std() / np.sqrt(len(recall))) for name, recall in recalls.items()},
        dict(sources),
        dict(degraded),
    )


def _asked(
    users: list[str], visits: Visits, catalogue: Catalogue, ask: Ask
) -> tuple[NDArray[np.int64], Counter[str], Counter[str]]:
    top = np.full((len(users), TOP), -1, dtype=np.int64)
    sources: Counter[str] = Counter()
    degraded: Counter[str] = Counter()
    for row, (user_id, place) in enumerate(zip(users, visits.daypart.tolist(), strict=True)):
        answer = ask(user_id, None if place < 0 else DAYPARTS[place])
        ids = [item["product_id"] for item in answer["items"]]
        top[row, : len(ids)] = np.searchsorted(catalogue.products, ids)
        sources[answer["source"]] += 1
        degraded.update(answer["degraded"])
    return top, sources, degraded
