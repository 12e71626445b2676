"""What a fold gives back. Knows nothing of where the values come from."""

from __future__ import annotations

from dataclasses import dataclass

from features.engine.aggregates import FeatureValue


@dataclass(slots=True)
class Values:
    """The features of one entity as of one event.

    Attributes:
        features: value by name, in the order of the wire; amounts in minor units, None for the
            mean of nothing.
        approximate: names whose values are not exact; the bound is in ``features/definitions.py``.
        sequence: the state's number of changes so far.
        repeat: the transaction was counted before and was not counted again.
    """

    features: dict[str, FeatureValue]
    approximate: tuple[str, ...]
    sequence: int
    repeat: bool = False
