"""The definition of the recommendation for the platform: `WEIR_MODELS` names it."""

from __future__ import annotations

from typing import Final

from examples.recommendation.features import RANKING_COLUMNS
from models.definition import ModelDefinition
from models.policy import DecisionPolicy

RECOMMENDATION: Final = ModelDefinition(
    name="recommendation",
    columns=RANKING_COLUMNS,
    # A ranking compares scores with each other; none of them decides anything alone.
    policy=DecisionPolicy(("RANKED",), ()),
    routes="examples.recommendation.routes:ROUTES",
    description="Which ten products to show to a shopper; POST /models/recommendation/rank.",
)
