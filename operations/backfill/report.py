"""What a backfill did, as `weir backfill` prints it and the archive keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What a backfill did.

    Attributes:
        definition_digest: of the rows and states that it made.
        rows: backfilled rows in the archive; each stands for a row of other definitions.
        folded: transactions that were folded for them.
        labels: labels that were folded.
        compared: values of features that both definitions have, old and new.
        different: of them, those that differ; should be 0.
        first_event_ms: earliest event time in the archive, ms since 1970 UTC.
        complete_since_ms: by feature, the event time from which on the archive has its whole
            window.
        is_seeded: whether the states were written to Redis and for the velocity job.
        next_offsets: where the velocity job continues, by topic and partition; empty if it was
            not seeded.
    """

    definition_digest: str
    rows: int
    folded: int
    labels: int
    compared: int
    different: int
    first_event_ms: int
    complete_since_ms: Mapping[str, int]
    is_seeded: bool
    next_offsets: Mapping[str, Mapping[int, int]]
