"""One user's batch features as of an event: the values, or the reason why there are none.

Decodes the bytes of the online store and applies the same rule as the join of a data set: the
newest snapshot at or before the event counts, if it is at most `BATCH_AGE_MS_MAX` old. Pure.
Called by the scorer and the API, which read the bytes from Redis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Final, NamedTuple

from features.batch import BATCH_AGE_MS_MAX, STATISTICS, BatchView
from features.engine.values import FeatureValue
from features.online.feast_values import read_number, read_timestamp

MISSING: Final = "batch_features_missing"
"""Nothing was ever materialised: the store has no values of the user and no complete snapshot."""
STALE: Final = "batch_features_stale"
"""The stored snapshot is later than the event, or too old."""
UNREADABLE: Final = "batch_features_unreadable"
"""The stored bytes are damaged, or lack a feature that this code knows."""
UNAVAILABLE: Final = "batch_features_unavailable"
"""The online store did not answer in time."""
DROPPED: Final = "batch_features_dropped"
"""Too little time was left to read them; only in ad-hoc scores."""

REASONS: Final = frozenset({MISSING, STALE, UNREADABLE, UNAVAILABLE, DROPPED})
"""Why batch features have no values; a decision names the reason in ``degraded``."""


class BatchValues(NamedTuple):
    """The batch features of a user as of an event.

    Attributes:
        features: value by name, all of the view; all null if they are not known.
        as_of_ms: time of their snapshot, ms since 1970 UTC; None if they are not known.
        degraded: one of `REASONS`; None if they are known.
    """

    features: Mapping[str, FeatureValue]
    as_of_ms: int | None
    degraded: str | None


@cache
def unknown(reason: str, view: BatchView = STATISTICS) -> BatchValues:
    """Give null values, for one of the reasons in `REASONS`."""
    return BatchValues(dict.fromkeys(view.names), None, reason)


class StoredBatchFeatures(NamedTuple):
    """The decoded batch features of one user; not yet as of any event.

    Attributes:
        features: value by name as of ``snapshot_ms``; empty without a snapshot.
        snapshot_ms: time of the user's newest snapshot, ms since 1970 UTC; None if there is none.
        complete_ms: time of the newest snapshot that was written for all users; None if there is
            none.
        is_readable: False if the bytes could not be decoded; the times and values then mean
            nothing.
        view: whose features they are.
    """

    features: Mapping[str, FeatureValue]
    snapshot_ms: int | None
    complete_ms: int | None
    is_readable: bool = True
    view: BatchView = STATISTICS

    def as_of(self, event_time_ms: int) -> BatchValues:
        """Give the values that an event may use.

        ::

            snapshot     usable                                     after the event
            ─────────────[───────────────────────────────────────]──────────────▶ event time
                         event - BATCH_AGE_MS_MAX             event

        If a complete snapshot is usable and the user is not in it, the user has no history, and
        the values are those of no history. The store keeps only the newest snapshot of a user:
        one that is later than the event has replaced the one that the event could have used.

        Args:
            event_time_ms: of the event, ms since 1970 UTC.
        """
        if not self.is_readable:
            return unknown(UNREADABLE, self.view)
        oldest_ms = event_time_ms - BATCH_AGE_MS_MAX
        own, complete = self.snapshot_ms, self.complete_ms
        is_complete = complete is not None and oldest_ms <= complete <= event_time_ms
        if own is not None and oldest_ms <= own <= event_time_ms:
            as_of_ms = max(own, complete) if is_complete and complete is not None else own
            return BatchValues(self.features, as_of_ms, None)
        if is_complete and (own is None or own < oldest_ms):
            return BatchValues(self.view.no_history, complete, None)
        return unknown(MISSING if own is None and complete is None else STALE, self.view)


def decode_batch_features(
    fields: Sequence[bytes | None], complete: bytes | None, view: BatchView = STATISTICS
) -> StoredBatchFeatures:
    """Decode what the online store holds of a user; raises nothing, whatever the bytes are.

    Args:
        fields: the answer to an HMGET of `features.online.layout.batch_fields`.
        complete: the value of `features.online.layout.complete_key`; None if there is none.
        view: whose fields they are.

    Examples:
        >>> decode_batch_features([None] * 5, None).as_of(0).degraded
        'batch_features_missing'
    """
    try:
        complete_ms = None if complete is None else int(complete)
        if not any(field is not None for field in fields):
            return StoredBatchFeatures({}, None, complete_ms, view=view)
        present = [field for field in fields if field is not None]
        if len(present) != 1 + len(view.names) or len(fields) != len(present):
            raise ValueError("a field is missing")
        features = dict(zip(view.names, map(read_number, present[1:]), strict=True))
        return StoredBatchFeatures(features, _time_ms(present[0]), complete_ms, view=view)
    except (ValueError, IndexError):
        return StoredBatchFeatures({}, None, None, is_readable=False, view=view)


@lru_cache(maxsize=64)
def _time_ms(timestamp: bytes) -> int:
    # All users share a snapshot's time, so there are few different ones.
    return read_timestamp(timestamp)
