"""How the trees of a model become one score: by the mean of probabilities, or by added log-odds.

A random forest averages the probabilities in its leaves. Boosted trees add up log-odds, which
become a probability here. The file of the trees says which of the two holds, by the attribute
``aggregate_function``. Imports no library; both scorers of trees use it.
"""

from __future__ import annotations

import math
from typing import Final

AVERAGE: Final = 0
SUM: Final = 1
"""The values of the attribute ``aggregate_function`` that a model may have."""
_LOG_ODDS_MIN: Final = -700.0
"""Below it, the exponential would exceed what a double can hold."""


def probability(log_odds: float) -> float:
    """Give the probability that log-odds stand for, to the last bit as boosting computes it.

    By the C library's exponential. NumPy's differs in the last bit for one value in 50 and depends
    on the number of values, so a row would score differently alone and in a batch.

    Examples:
        >>> probability(0.0), probability(-1e9) < 1e-300
        (0.5, True)
    """
    return 1.0 / (1.0 + math.exp(-max(log_odds, _LOG_ODDS_MIN)))
