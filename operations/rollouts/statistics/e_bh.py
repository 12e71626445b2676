"""Several hypotheses at once: e-BH, the Benjamini-Hochberg procedure for e-values.

It keeps the share of false rejections at most at alpha however the e-values depend on each other.
Hypotheses may have weights, so that the guard that matters most needs the least evidence. If no
hypothesis is false, the probability of any rejection is at most alpha. Source: Wang and Ramdas,
"False discovery rate control with e-values", JRSS-B 2022, with the weights of its section 5.
"""

from __future__ import annotations

import math

import numpy as np

from operations.rollouts.statistics.running import Booleans, Floats


def rejected(log_e: Floats, weights: Floats, alpha: float) -> Booleans:
    """Say which hypotheses are rejected.

    Args:
        log_e: logarithms of the e-values, all at one time.
        weights: importance of each hypothesis, of mean 1.
        alpha: largest share of false rejections.

    Examples:
        >>> rejected(np.log([90.0, 30.0, 1.0]), np.ones(3), 0.05).tolist()
        [True, True, False]
    """
    count = len(log_e)
    with np.errstate(divide="ignore"):
        weighted = log_e + np.log(weights)
    order = np.argsort(-weighted, kind="stable")
    needed = math.log(count / alpha) - np.log(np.arange(1, count + 1))
    passing = np.flatnonzero(weighted[order] >= needed)
    result = np.zeros(count, dtype=bool)
    if len(passing):
        result[order[: passing[-1] + 1]] = True
    return result


def rejected_alone(log_e_max: Floats, weights: Floats, alpha: float) -> Booleans:
    """Say which hypotheses e-BH has rejected at some event on their own evidence.

    e-BH rejects a hypothesis whose e-value has reached count / alpha / weight whatever the others
    are, so the largest e-value so far tells it for all events up to now.
    """
    with np.errstate(divide="ignore"):
        weighted = log_e_max + np.log(weights)
    result: Booleans = weighted >= math.log(len(log_e_max) / alpha)
    return result
