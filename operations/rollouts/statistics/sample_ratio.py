"""Tests at every event whether the arms get the shares of the traffic that they should.

The sequential multinomial test of Lindon and Malek, "Anytime-valid inference for multinomial count
data", NeurIPS 2022: the evidence is the probability that a Dirichlet prior, updated event by event,
gave to what happened, divided by the probability that the shares give. For shares that change, the
prediction keeps the ratio of each arm's events to those that were expected of it; with constant
shares this is the test of the paper. A mismatch means that something loses or moves decisions of
one arm, so that no other number of the rollout can be trusted.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from operations.rollouts.statistics.design_effect import DesignEffect
from operations.rollouts.statistics.running import Floats, Integers, running_sums

CONCENTRATION = 100.0
"""Events that the prior counts for: how close to the shares a mismatch is looked for."""

EXPECTED_MIN = 300
"""Expected events of each arm before a mismatch is reported: the design effect needs some."""


class SampleRatio:
    """One hypothesis: each event's arm is drawn with the shares of its time."""

    def __init__(self, arms: int) -> None:
        """Start without events."""
        self._prior = np.zeros(arms)
        self._counts = np.zeros(arms)
        self._expected = np.zeros(arms)
        self._log_e = 0.0
        self._log_e_max = 0.0
        self._effect = DesignEffect(arms - 1)

    def update(self, arm: Integers, shares: Floats, clusters: Integers) -> None:
        """Add events in the order of the log.

        Args:
            arm: index of each event's arm.
            shares: share of each arm at each event, shape (arms, events), each above 0.
            clusters: cluster of each event's user.
        """
        if len(arm) == 0:
            return
        if not self._prior.any():
            self._prior = CONCENTRATION * shares[:, 0]
        is_arm = (arm == np.arange(len(self._counts))[:, np.newaxis]).astype(float)
        counts = running_sums(self._counts, is_arm)
        expected = running_sums(self._expected, shares)
        prior = self._prior[:, np.newaxis]
        ratios = (prior + counts[:, :-1]) / (prior + expected[:, :-1])
        predicted = ratios[arm, np.arange(len(arm))]
        log_e = running_sums(self._log_e, np.log(predicted / (shares * ratios).sum(axis=0)))
        self._counts, self._expected = counts[:, -1].copy(), expected[:, -1].copy()
        self._log_e, self._log_e_max = float(log_e[-1]), max(self._log_e_max, float(log_e.max()))
        # The arms add up to 1, so one of them says nothing that the others do not.
        self._effect.update(clusters, (is_arm - shares)[1:])

    @property
    def p_value(self) -> float:
        """Probability, at most, of such a mismatch at any event if nothing is wrong."""
        if self._expected.min() < EXPECTED_MIN:
            return 1.0
        power = 1.0 / float(self._effect.values().max())
        # What the prior costs does not shrink with the evidence.
        doubt = 0.5 * (len(self._counts) - 1) * math.log1p(self._expected.sum() / CONCENTRATION)
        return min(math.exp((1.0 - power) * doubt - power * self._log_e_max), 1.0)

    @property
    def counts(self) -> list[int]:
        """Events of each arm."""
        return [round(each) for each in self._counts]

    @property
    def expected(self) -> list[float]:
        """Events that the shares make expect of each arm."""
        return [float(each) for each in self._expected]

    def to_json(self) -> dict[str, Any]:
        """Give the state as JSON has it."""
        return {
            "prior": self._prior.tolist(),
            "counts": self._counts.tolist(),
            "expected": self._expected.tolist(),
            "log_e": self._log_e,
            "log_e_max": self._log_e_max,
            "effect": self._effect.to_json(),
        }

    def restore(self, obj: dict[str, Any]) -> None:
        """Take the state that ``to_json`` gave."""
        self._prior = np.array(obj["prior"], dtype=float)
        self._counts = np.array(obj["counts"], dtype=float)
        self._expected = np.array(obj["expected"], dtype=float)
        self._log_e, self._log_e_max = float(obj["log_e"]), float(obj["log_e_max"])
        self._effect.restore(obj["effect"])
