"""Cost of one fold of a user's state with N windows: `python -m tests.bench.fold_by_features N`.

Puts other definitions in place before the fold is imported, which is why it is a process of its
own. Each window has three features: count, sum, mean. 80 events a month, 2,000 folds, best of 10.
"""

from __future__ import annotations

import json
import sys

from features import definitions
from features.definitions import DAY_MS, HOUR_MS


def main() -> None:
    """Print the CPU time of a fold as one JSON object."""
    count = int(sys.argv[1])
    # From 1 h to 30 d, spread evenly in ratio.
    longest = 30 * DAY_MS // HOUR_MS
    hours = sorted({round(longest ** (at / max(1, count - 1))) for at in range(count)})
    while len(hours) < count:
        hours = sorted({*hours, max(hours) - len(hours)})
    definitions.USER_FEATURES = (
        *(
            definitions.Velocity("user", quantity, aggregate, each * HOUR_MS)
            for quantity, aggregate in (
                ("transaction", "count"),
                ("amount", "sum"),
                ("amount", "mean"),
            )
            for each in hours
        ),
        *(each for each in definitions.USER_FEATURES if each.aggregate == "distinct"),
    )
    from tests.bench.bench_fold import FOLDS, best_us, filled_user

    key = filled_user(80, window_ms=30 * DAY_MS)
    print(json.dumps({"fold_us": round(best_us(key.fold_next, calls=FOLDS), 2)}))


if __name__ == "__main__":
    main()
