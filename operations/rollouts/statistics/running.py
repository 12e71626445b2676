"""Sums after each event of a batch, added in the order of the log.

``np.add.accumulate`` adds one value after the other, so the sums have the same bits however the log
is cut into batches; ``np.sum`` would add pairs.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Booleans: TypeAlias = NDArray[np.bool_]


def running_sums(start: Floats | float, values: Floats) -> Floats:
    """Give the sum before the first event and after each; one item more than ``values``.

    Args:
        start: sum so far, of the shape of ``values`` without its last axis.
        values: shape (..., events).

    Examples:
        >>> running_sums(1.0, np.array([2.0, 3.0]))
        array([1., 3., 6.])
    """
    sums = np.empty((*values.shape[:-1], values.shape[-1] + 1))
    sums[..., 0] = start
    sums[..., 1:] = values
    return np.add.accumulate(sums, axis=-1, out=sums)


def sums_within_clusters(
    start: Floats, clusters: Integers, values: Floats
) -> tuple[Floats, Floats]:
    """Give each event's sum of its own cluster before it, and the sums of all clusters at the end.

    Equal to adding one by one up to rounding of 1e-12.

    Args:
        start: sum of each cluster so far; not changed.
        clusters: cluster of each event, an index into ``start``.
        values: value of each event.
    """
    order = np.argsort(clusters, kind="stable")
    cluster, value = clusters[order], values[order]
    sums = running_sums(0.0, value)[:-1]
    is_first = np.ones(len(cluster), dtype=bool)
    is_first[1:] = cluster[1:] != cluster[:-1]
    begin = sums[is_first]
    length = np.diff(np.append(np.flatnonzero(is_first), len(cluster)))
    before = np.empty(len(values))
    before[order] = start[cluster] + (sums - np.repeat(begin, length))
    end = start.copy()
    np.add.at(end, clusters, values)
    return before, end
