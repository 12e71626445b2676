"""Labelled rows with scores, for tests of the figures that models are judged by."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.definitions import DAY_MS


def rows(*entries: tuple[int, str, float, bool]) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Rows of (day, user, score, fraud)."""
    table = pd.DataFrame(
        {
            "event_time_ms": [day * DAY_MS for day, *_ in entries],
            "user_id": [user for _, user, *_ in entries],
            "is_fraud": [fraud for *_, fraud in entries],
        }
    )
    return table, np.array([score for _, _, score, _ in entries])


def random_rows(*, seed: int, count: int = 500) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Rows whose scores have many ties."""
    rng = np.random.default_rng(seed)
    fraud = rng.random(count) < 0.2
    table = pd.DataFrame(
        {
            "event_time_ms": rng.integers(0, 5 * DAY_MS, count),
            "user_id": [f"u-{at}" for at in rng.integers(0, 80, count)],
            "is_fraud": fraud,
        }
    )
    return table, np.round(np.clip(rng.normal(0.3 + 0.3 * fraud, 0.2), 0, 1), 1)
