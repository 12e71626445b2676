"""The term of one event in the comparison of two arms.

With the propensity p of the challenger, known before the event, and a mean m of earlier losses::

    z = (loss - m) * (is_challenger - p)

has the mean p (1 - p) (mean loss of the challenger - mean loss of the control), whatever m is, and
whatever happened before. So terms of different shares may be added: each event is compared with
what was expected at its own share, and nothing is pooled across the steps of a ramp. The weight
p (1 - p) is the inverse of the variance that a difference at this share has.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from operations.rollouts.statistics.running import Booleans, Floats, running_sums


class Terms(NamedTuple):
    """The terms of a batch; each of shape (losses, events) but the weight."""

    z: Floats
    weight: Floats
    """p (1 - p) of each event."""
    mean: Floats
    """Mean of the losses before each event, of both arms."""
    variance: Floats
    """Mean square of loss - m before each event."""


class ComparedLosses:
    """Gives the terms of several losses of the same events; keeps their running means."""

    def __init__(self, losses: int) -> None:
        """Start without events; one imagined event of loss 1/2 begins each mean."""
        self._events = 0
        self._sums = np.full(losses, 0.5)
        self._squares = np.full(losses, 0.25)

    def update(self, losses: Floats, is_challenger: Booleans, p: Floats) -> Terms:
        """Give the terms of a batch.

        Args:
            losses: 0 to 1, shape (losses, events).
            is_challenger: arm of each event.
            p: propensity of the challenger at each event, above 0 and below 1.
        """
        count = 1.0 + self._events + np.arange(losses.shape[-1])
        sums = running_sums(self._sums, losses)
        mean = sums[..., :-1] / count
        residual = losses - mean
        squares = running_sums(self._squares, residual * residual)
        self._events += losses.shape[-1]
        self._sums, self._squares = sums[..., -1].copy(), squares[..., -1].copy()
        z = residual * (is_challenger - p)
        return Terms(z, p * (1.0 - p), mean, squares[..., :-1] / count)

    def to_json(self) -> dict[str, Any]:
        """Give the state as JSON has it."""
        return {
            "events": self._events,
            "sums": self._sums.tolist(),
            "squares": self._squares.tolist(),
        }

    def restore(self, obj: dict[str, Any]) -> None:
        """Take the state that ``to_json`` gave."""
        self._events = int(obj["events"])
        self._sums = np.array(obj["sums"], dtype=float)
        self._squares = np.array(obj["squares"], dtype=float)
