"""One record of a Kafka topic, as every reader of whole logs hands it on.

Imports no client library, so that pure code can take records.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Record(NamedTuple):
    """A record and its place in the log."""

    partition: int
    offset: int
    timestamp_ms: int
    """Kafka's timestamp, ms since 1970 UTC; -1 if it has none."""
    value: bytes | None
    """None is a tombstone."""
    headers: Sequence[tuple[str, bytes | None]] = ()
    """Empty, too, if the reader was asked for values only; so is the key."""
    key: bytes | None = None
