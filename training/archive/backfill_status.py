"""What the table of backfilled rows holds, and since when each feature is complete.

Called by `weir archive status`, `weir backfill` and parity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow.compute as pc

from features.definitions import DEFINITION_DIGEST, MERCHANT_FEATURES, USER_FEATURES
from training.archive.store import ArchiveTable
from training.archive.tables import BACKFILLED
from training.errors import NoArchiveError


@dataclass(frozen=True, slots=True)
class BackfillStatus:
    """What the table of backfilled rows holds.

    Attributes:
        rows: how many.
        definition_digest: of its rows.
        complete_since_ms: see `complete_since_ms`; empty if the rows have other definitions than
            this code.
    """

    rows: int
    definition_digest: str
    complete_since_ms: Mapping[str, int]


def backfill_status(url: str) -> BackfillStatus | None:
    """Say what the table of backfilled rows holds; None if it is missing or empty.

    Raises:
        ArchiveUnreachableError: the storage failed.
    """
    try:
        rows = ArchiveTable(url, BACKFILLED).dataset()
    except NoArchiveError:
        return None
    table = rows.to_table(columns=["definition_digest", "event_time_ms"])
    if not len(table):
        return None
    digest = table["definition_digest"][0].as_py()
    since = complete_since_ms(pc.min(table["event_time_ms"]).as_py())
    return BackfillStatus(len(table), digest, since if digest == DEFINITION_DIGEST else {})


def complete_since_ms(first_event_ms: int) -> dict[str, int]:
    """Say from which event time on the whole window of each velocity feature is known.

    Before it, the window begins earlier than the first known event.

    Args:
        first_event_ms: the earliest known event time, ms since 1970 UTC.

    Examples:
        >>> complete_since_ms(0)["user_amount_sum_1h"]
        3600000
        >>> complete_since_ms(0)["merchant_fraud_rate_1d_delay_7d"] // 86_400_000
        8
    """
    return {
        feature.name: first_event_ms + feature.window_ms + feature.delay_ms
        for feature in (*USER_FEATURES, *MERCHANT_FEATURES)
    }
