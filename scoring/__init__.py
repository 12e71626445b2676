"""The decision: from feature rows, and from ad-hoc transactions, to what to do about them.

Imports `features` and `schemas`, never `streams` or `training`: rows come by Kafka, models by
the registry. ``from scoring import Scorer`` scores in your own process (`scoring.embedded`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scoring.embedded.scorer import Scorer

__all__ = ["Scorer"]


def __getattr__(name: str) -> object:
    # Not imported with the package: the services do not need it.
    if name == "Scorer":
        from scoring.embedded.scorer import Scorer  # noqa: PLC0415

        return Scorer
    raise AttributeError(f"module {__name__} has no attribute {name}")
