"""One user's batch features as of an event: the values, or why there are none.

From the bytes of the online store to what is scored; the same rule as the join of a data set: the
newest snapshot at or before the event counts, up to `BATCH_AGE_MS_MAX` old. Pure. Called by the
scorer and the API, which read the bytes, and by parity, which reads the archive instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from features.batch import BATCH_AGE_MS_MAX, BATCH_NAMES, NO_HISTORY
from features.engine.aggregates import FeatureValue
from features.online.layout import read_number, read_timestamp

MISSING: Final = "batch_features_missing"
"""Nothing was ever materialised, for this user or up to any snapshot."""
STALE: Final = "batch_features_stale"
"""What is stored is of a snapshot after the event, or of one too long before it."""
UNREADABLE: Final = "batch_features_unreadable"
"""What is stored is damaged, or lacks a feature that this code knows."""
UNAVAILABLE: Final = "batch_features_unavailable"
"""The online store did not answer in time."""

WORDS: Final = frozenset({MISSING, STALE, UNREADABLE, UNAVAILABLE})
"""Why batch features have no values; each a word of ``degraded``."""


class BatchValues(NamedTuple):
    """What is known of a user's habits as of an event.

    Attributes:
        features: value by name, all of `BATCH_NAMES`; all null where they are not known.
        as_of_ms: the snapshot up to which they were known, ms since 1970 UTC; None: not known.
        degraded: why not; None: they are known.
    """

    features: Mapping[str, FeatureValue]
    as_of_ms: int | None
    degraded: str | None


_NULLS: Final[Mapping[str, FeatureValue]] = dict.fromkeys(BATCH_NAMES)
_UNKNOWN: Final = {word: BatchValues(_NULLS, None, word) for word in WORDS}


def unknown(word: str) -> BatchValues:
    """Give no values, for one of the reasons in `WORDS`."""
    return _UNKNOWN[word]


class StoredHabits(NamedTuple):
    """What the online store holds of one user, read but not yet judged by any event.

    Attributes:
        features: value by name as of ``snapshot_ms``; empty without one.
        snapshot_ms: the user's newest snapshot, ms since 1970 UTC; None: the user is in none.
        complete_ms: the newest snapshot whose users have all been written; None: there is none.
        is_readable: False: the bytes are not what is written there, and nothing can be said.
    """

    features: Mapping[str, FeatureValue]
    snapshot_ms: int | None
    complete_ms: int | None
    is_readable: bool = True

    def as_of(self, event_time_ms: int) -> BatchValues:
        """Give the values that an event may see.

        ::

            snapshot     usable                                     after the event
            ─────────────[───────────────────────────────────────]──────────────▶ event time
                         event - BATCH_AGE_MS_MAX             event

        A user without a usable snapshot has no history, which is a value, if the view is complete
        up to a usable one. A snapshot after the event has replaced what the event could have seen.

        Args:
            event_time_ms: of the event, ms since 1970 UTC.
        """
        if not self.is_readable:
            return _UNKNOWN[UNREADABLE]
        oldest_ms = event_time_ms - BATCH_AGE_MS_MAX
        own, complete = self.snapshot_ms, self.complete_ms
        is_complete = complete is not None and oldest_ms <= complete <= event_time_ms
        if own is not None and oldest_ms <= own <= event_time_ms:
            as_of_ms = max(own, complete) if is_complete and complete is not None else own
            return BatchValues(self.features, as_of_ms, None)
        if is_complete and (own is None or own < oldest_ms):
            return BatchValues(NO_HISTORY, complete, None)
        return _UNKNOWN[MISSING if own is None and complete is None else STALE]


def open_habits(fields: Sequence[bytes | None], complete: bytes | None) -> StoredHabits:
    """Read what the online store gave; never raises for bytes of any kind.

    Args:
        fields: the answer to an HMGET of `features.online.layout.batch_fields`.
        complete: the value of `features.online.layout.complete_key`; None: there is none.

    Examples:
        >>> open_habits([None] * 5, None).as_of(0).degraded
        'batch_features_missing'
    """
    try:
        complete_ms = None if complete is None else int(complete)
        if not any(field is not None for field in fields):
            return StoredHabits({}, None, complete_ms)
        whole = [field for field in fields if field is not None]
        if len(whole) != 1 + len(BATCH_NAMES) or len(fields) != len(whole):
            raise ValueError("a field is missing")
        features = dict(zip(BATCH_NAMES, map(read_number, whole[1:]), strict=True))
        return StoredHabits(features, _time_ms(whole[0]), complete_ms)
    except (ValueError, IndexError):
        return StoredHabits({}, None, None, is_readable=False)


@lru_cache(maxsize=64)
def _time_ms(timestamp: bytes) -> int:
    # A snapshot is of all users, so there are few different times.
    return read_timestamp(timestamp)
