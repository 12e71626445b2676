"""The users and merchants of the simulated world, derived from a seed by hashing.

Nothing is stored: every trait is a pure function of (seed, number), so a world of millions of users
needs no memory and a second run has the same users. Vectorised over numpy arrays.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

DAY_MS: Final = 86_400_000

COUNTRIES: Final = ("DE", "FR", "NL", "IT", "ES", "PL", "SE", "GB", "US", "BR")
_COUNTRY_SHARES: Final = (0.30, 0.18, 0.12, 0.10, 0.10, 0.08, 0.05, 0.04, 0.02, 0.01)
DEVICES: Final = ("mobile", "desktop", "tablet")
_DEVICE_SHARES: Final = (0.62, 0.30, 0.08)

# Category: share of merchants, factor of the user's usual amount, whether sold over the network.
CATEGORIES: Final = (
    ("grocery", 0.30, 0.8, False),
    ("restaurant", 0.20, 0.7, False),
    ("fuel", 0.10, 1.2, False),
    ("fashion", 0.15, 1.5, True),
    ("electronics", 0.10, 3.0, True),
    ("travel", 0.05, 5.0, False),
    ("digital", 0.10, 0.4, True),
)

COMPROMISE_MS: Final = 28 * DAY_MS
"""How long a merchant stays compromised: long enough for the labels of the first days to count in
the risk features, which wait 7 days for labels."""

_MASK_53: Final = np.uint64((1 << 53) - 1)


def _mixed(*, seed: int, trait: int, numbers: IntArray) -> NDArray[np.uint64]:
    """64 well-mixed bits for each number (finaliser of splitmix64), independent for each trait."""
    with np.errstate(over="ignore"):
        x = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x += np.uint64((seed * 0xD1342543DE82EF95 + trait * 0xBF58476D1CE4E5B9) % (1 << 64))
        x ^= x >> np.uint64(30)
        x *= np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(27)
        x *= np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return x


def _shares(pairs: tuple[float, ...]) -> FloatArray:
    """Cumulative shares; the last one is above 1, so that every lookup finds a position."""
    cumulative = np.cumsum(np.asarray(pairs, dtype=np.float64))
    cumulative[-1] = 2.0
    return cumulative


_COUNTRY_CUMULATIVE: Final = _shares(_COUNTRY_SHARES)
_DEVICE_CUMULATIVE: Final = _shares(_DEVICE_SHARES)
_CATEGORY_CUMULATIVE: Final = _shares(tuple(category[1] for category in CATEGORIES))
_CATEGORY_FACTOR: Final = np.asarray([category[2] for category in CATEGORIES])
_CATEGORY_REMOTE: Final = np.asarray([category[3] for category in CATEGORIES])


@dataclass(frozen=True, slots=True)
class Population:
    """Traits of users and merchants, by number.

    Attributes:
        seed: decides all traits.
        merchants: number of merchants, positive.
        compromised_share: share of merchants that are compromised at any time, 0 to 1.
    """

    seed: int
    merchants: int
    compromised_share: float

    def uniform(self, trait: int, numbers: IntArray) -> FloatArray:
        """A fixed draw from [0, 1) for each number and trait."""
        bits = _mixed(seed=self.seed, trait=trait, numbers=numbers) & _MASK_53
        return bits.astype(np.float64) / float(1 << 53)

    def usual_amount_minor(self, users: IntArray) -> FloatArray:
        """Each user's usual amount: log-normal, median 25.00, one in twenty above 80.00."""
        radius = np.sqrt(-2.0 * np.log1p(-self.uniform(1, users)))
        normal = radius * np.cos(2.0 * np.pi * self.uniform(2, users))
        amounts: FloatArray = np.exp(np.log(2_500.0) + 0.7 * normal)
        return amounts

    def home_country(self, users: IntArray) -> IntArray:
        """Index into `COUNTRIES` of the user's home country."""
        return np.searchsorted(_COUNTRY_CUMULATIVE, self.uniform(3, users), side="right")

    def device(self, users: IntArray) -> IntArray:
        """Index into `DEVICES` of the user's device."""
        return np.searchsorted(_DEVICE_CUMULATIVE, self.uniform(4, users), side="right")

    def home_merchant(self, users: IntArray, choices: IntArray) -> IntArray:
        """The user's usual merchant number ``choices``; popular merchants are more frequent."""
        draw = self.uniform(5, users * 64 + choices)
        return (self.merchants * draw**1.5).astype(np.int64)

    def category(self, merchants: IntArray) -> IntArray:
        """Index into `CATEGORIES` of the merchant's category."""
        return np.searchsorted(_CATEGORY_CUMULATIVE, self.uniform(6, merchants), side="right")

    def price_factor(self, merchants: IntArray) -> FloatArray:
        """Factor of the user's usual amount at a merchant."""
        return np.asarray(_CATEGORY_FACTOR[self.category(merchants)], dtype=np.float64)

    def is_remote(self, merchants: IntArray) -> NDArray[np.bool_]:
        """Whether the merchant sells over the network, so that device and country are known."""
        return np.asarray(_CATEGORY_REMOTE[self.category(merchants)], dtype=np.bool_)

    def is_compromised(self, merchants: IntArray, times_ms: IntArray) -> NDArray[np.bool_]:
        """Whether the merchant is compromised at a time, for whole periods of `COMPROMISE_MS`.

        The periods of each merchant have their own phase, so they begin on any day.
        """
        phase_ms = (self.uniform(7, merchants) * COMPROMISE_MS).astype(np.int64)
        period = (times_ms + phase_ms) // COMPROMISE_MS
        return self.uniform(8, merchants * 4_096 + period) < self.compromised_share
