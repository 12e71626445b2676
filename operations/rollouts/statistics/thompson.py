"""Thompson sampling over a few arms, as shares: each arm gets the probability that it is the best.

The reward of a decision is 1 less its loss, so within 0 and 1, and the mean reward of an arm has a
Beta posterior: Beta(1 + rewards, 1 + decisions - rewards). Drawing an arm for each transaction with
these shares is Thompson sampling; the shares stand still between two changes, so that every
decision knows its propensity. ADR 0036 says why no library is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

SHARES_BP = 10_000
DRAWS = 20_000


def shares_bp(
    rewards: Sequence[float], decisions: Sequence[int], *, floor_bp: int, seed: str
) -> list[int]:
    """Give the share of each arm, in hundredths of a percent; they add up to 10,000.

    Args:
        rewards: sum of the rewards of each arm's mature decisions.
        decisions: number of these decisions.
        floor_bp: smallest share of an arm, so that each is explored for ever.
        seed: the same seed gives the same shares; another one for each change.

    Raises:
        ValueError: the floors do not fit into 10,000, or rewards are outside 0 to decisions.

    Examples:
        >>> shares_bp([50, 90], [100, 100], floor_bp=500, seed="r-1/2")
        [500, 9500]
    """
    arms = len(rewards)
    if not 0 <= floor_bp * arms <= SHARES_BP:
        raise ValueError(f"{arms} arms of {floor_bp} or more do not fit into {SHARES_BP}")
    good, count = np.array(rewards, dtype=float), np.array(decisions, dtype=float)
    if (good < 0).any() or (good > count + 1e-6).any():
        raise ValueError("rewards must be within 0 and the number of decisions")
    number = int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=8).digest(), "big")
    draws = np.random.default_rng(number).beta(
        1.0 + good, 1.0 + np.maximum(count - good, 0.0), size=(DRAWS, arms)
    )
    best = np.bincount(draws.argmax(axis=1), minlength=arms) / DRAWS
    exact = floor_bp + best * (SHARES_BP - floor_bp * arms)
    shares = np.floor(exact).astype(int)
    # Rounding down leaves less than one for each arm; the largest remainders get it.
    for index in np.argsort(-(exact - shares), kind="stable")[: SHARES_BP - int(shares.sum())]:
        shares[index] += 1
    return [int(share) for share in shares]
