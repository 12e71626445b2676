"""The rule that says which feature row of a transaction is its first one.

A transaction may have several rows: a producer sent it again, or used its id twice. Every reader of
the feature log applies this one rule. Rows marked ``repeat`` are never first. Pure; called by
parity, and for whole tables by `training.archive.first_rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class RowPlace(NamedTuple):
    """Where a feature row lies in the feature log, and when it was computed."""

    partition: int
    offset: int
    computed_at_ms: int


def first_of(places: Sequence[RowPlace]) -> int:
    """Give the position of the first row among the rows of one transaction id.

    Within a partition the row with the lowest offset is first: the scorer reads it first. Only ids
    that two users have used have rows in several partitions, between which Kafka has no order;
    then the row that the velocity job computed first is the first one, or of equal times that in
    the lowest partition.

    Args:
        places: of the rows, in any order; at least one.

    Examples:
        >>> first_of([RowPlace(0, 7, 500), RowPlace(0, 3, 900)])
        1
        >>> first_of([RowPlace(0, 3, 900), RowPlace(1, 8, 500)])
        1
        >>> first_of([RowPlace(0, 3, 900), RowPlace(1, 8, 950), RowPlace(1, 9, 500)])
        0
    """
    lowest: dict[int, int] = {}
    for position, place in enumerate(places):
        known = lowest.get(place.partition)
        if known is None or place.offset < places[known].offset:
            lowest[place.partition] = position
    return min(lowest.values(), key=lambda at: (places[at].computed_at_ms, places[at].partition))
