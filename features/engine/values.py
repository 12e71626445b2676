"""The features of one entity as of one event: what the engine gives back."""

from __future__ import annotations

from dataclasses import dataclass

FeatureValue = int | float | None


@dataclass(slots=True)
class Values:
    """The features of one entity as of one event.

    Attributes:
        features: value by name, in the order of the wire; amounts in minor units, None for the
            mean of an empty window.
        approximate: names whose values are not exact; the bound is in ``features/definitions.py``.
        sequence: number of changes of the state so far.
        repeat: the transaction had been counted before and was not counted again.
    """

    features: dict[str, FeatureValue]
    approximate: tuple[str, ...]
    sequence: int
    repeat: bool = False
