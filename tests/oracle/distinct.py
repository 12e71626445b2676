"""The number of distinct merchants that a user visited, for each window.

A read as of the newest event needs only the merchants in order of their last visit: those that have
left the window are removed from the front, O(1) an event. A read as of an earlier time (for a late
event) scans a log of single visits. Both are capped, see ``definitions.Caps``; above a cap a count
is a lower bound and its position is reported as approximate. Used by ``user_state.py``.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence

from features.definitions import CAPS, LATENESS_MS, Caps
from tests.oracle.state_bytes import StateReader, pack_ints, pack_numbered, pack_texts
from tests.oracle.windows import NEVER_MS


class DistinctMerchants:
    """The merchants of one user.

    Args:
        windows_ms: lengths of the windows in ms.
        lateness_ms: how much older than the newest event a read may be and still be exact.
        caps: limits.

    Examples:
        >>> merchants = DistinctMerchants((60_000,))
        >>> [merchants.add(t, merchant_id=m) for t, m in ((0, "a"), (1, "b"), (60_000, "b"))]
        [[1], [2], [1]]
    """

    __slots__ = (
        "_caps",
        "_forgotten_until_ms",
        "_last_visits",
        "_lateness_ms",
        "_longest",
        "_lost_until_ms",
        "_visit_merchants",
        "_visit_times_ms",
        "_windows_ms",
    )

    def __init__(
        self, windows_ms: Sequence[int], *, lateness_ms: int = LATENESS_MS, caps: Caps = CAPS
    ) -> None:
        self._windows_ms = windows_ms
        self._longest = max(range(len(windows_ms)), key=windows_ms.__getitem__)
        self._lateness_ms = lateness_ms
        self._caps = caps
        # For each window: merchant -> last visit, oldest first. The visits of the longest window
        # contain those of all others, so only they are written.
        self._last_visits: tuple[OrderedDict[str, int], ...] = tuple(
            OrderedDict() for _ in windows_ms
        )
        self._forgotten_until_ms = NEVER_MS
        self._visit_times_ms = array("q")
        self._visit_merchants: list[str] = []
        self._lost_until_ms = NEVER_MS

    def add(self, time_ms: int, *, merchant_id: str) -> list[int]:
        """Add a visit that is not older than any other, and count each window as of it."""
        counts: list[int] = []
        merchants_max = self._caps.merchants_max
        for window_ms, last_visits in zip(self._windows_ms, self._last_visits, strict=True):
            last_visits[merchant_id] = time_ms
            last_visits.move_to_end(merchant_id)
            after_ms = time_ms - window_ms
            while last_visits[next(iter(last_visits))] <= after_ms:
                last_visits.popitem(last=False)
            if len(last_visits) > merchants_max:
                self._forget_one(last_visits)
            counts.append(len(last_visits))
        self._visit_times_ms.append(time_ms)
        self._visit_merchants.append(merchant_id)
        self._shrink_log(time_ms)
        return counts

    def add_late(self, time_ms: int, *, merchant_id: str, newest_ms: int) -> None:
        """Add a visit that is older than the newest. O(newer visits)."""
        for window_ms, last_visits in zip(self._windows_ms, self._last_visits, strict=True):
            if time_ms > newest_ms - window_ms:
                _insert_late(last_visits, merchant_id, time_ms)
                if len(last_visits) > self._caps.merchants_max:
                    self._forget_one(last_visits)
        if time_ms > self._log_horizon_ms(newest_ms):
            at = bisect_right(self._visit_times_ms, time_ms)
            self._visit_times_ms.insert(at, time_ms)
            self._visit_merchants.insert(at, merchant_id)
            self._shrink_log(newest_ms)

    def read(
        self, as_of_ms: int, *, newest_ms: int, merchant_id: str | None = None
    ) -> tuple[list[int], tuple[int, ...]]:
        """Count each window as of a time, including a visit at that time if it is given.

        Returns:
            The counts, and the positions of those that are lower bounds.
        """
        if as_of_ms < newest_ms:
            return self._read_late(as_of_ms, newest_ms, merchant_id)
        counts: list[int] = []
        for window_ms, last_visits in zip(self._windows_ms, self._last_visits, strict=True):
            after_ms = as_of_ms - window_ms
            count = len(last_visits)
            for last_ms in last_visits.values():
                if last_ms > after_ms:
                    break
                count -= 1
            if merchant_id is not None and last_visits.get(merchant_id, after_ms) <= after_ms:
                count += 1
            counts.append(count)
        return counts, self.lower_bounds(as_of_ms, counts)

    def lower_bounds(self, as_of_ms: int, counts: list[int]) -> tuple[int, ...]:
        """Give the positions whose counts may miss dropped merchants; cap ``counts``."""
        merchants_max = self._caps.merchants_max
        if self._forgotten_until_ms == NEVER_MS and max(counts) <= merchants_max:
            return ()
        bounds = tuple(
            position
            for position, window_ms in enumerate(self._windows_ms)
            if self._forgotten_until_ms > as_of_ms - window_ms or counts[position] > merchants_max
        )
        counts[:] = [min(count, merchants_max) for count in counts]
        return bounds

    @property
    def known(self) -> list[str]:
        """The merchants that are written first, in order; later bytes may refer to them."""
        return list(self._last_visits[self._longest])

    def pack(self, *, newest_ms: int) -> bytes:
        """Write the last visits and the log of visits."""
        horizon_ms = self._log_horizon_ms(newest_ms)
        start = bisect_right(self._visit_times_ms, horizon_ms)
        times_ms = self._visit_times_ms[start:]
        return b"".join(
            (
                self._pack_last_visits(newest_ms),
                pack_ints([newest_ms - time_ms for time_ms in times_ms]),
                pack_texts(self._visit_merchants[start:]),
                _pack_limit(self._lost_until_ms, newest_ms, horizon_ms),
            )
        )

    def pack_online(self, *, newest_ms: int, tiled_until_ms: int) -> bytes:
        """Write a smaller log: each merchant once, and for each visit the merchant's number.

        The times of the visits are not written. Each visit is an event of the timeline, whose
        times are written there.

        Args:
            newest_ms: the newest event time.
            tiled_until_ms: visits up to this time are left out; their times are in tiles.
        """
        horizon_ms = self._log_horizon_ms(newest_ms)
        lost_until_ms = max(self._lost_until_ms, tiled_until_ms)
        start = bisect_right(self._visit_times_ms, max(lost_until_ms, horizon_ms))
        visited = self._visit_merchants[start:]
        return b"".join(
            (
                self._pack_last_visits(newest_ms),
                pack_numbered(visited, known=self.known),
                _pack_limit(lost_until_ms, newest_ms, horizon_ms),
            )
        )

    def unpack(self, reader: StateReader, *, newest_ms: int) -> None:
        """Read what :meth:`pack` wrote into this empty object."""
        self._unpack_last_visits(reader, newest_ms)
        self._visit_times_ms = array("q", [newest_ms - back_ms for back_ms in reader.ints()])
        self._visit_merchants = reader.texts()
        self._lost_until_ms = _unpack_limit(reader, newest_ms)

    def unpack_online(
        self, reader: StateReader, *, newest_ms: int, times_ms: array[int] | None
    ) -> None:
        """Read what :meth:`pack_online` wrote into this empty object.

        Args:
            reader: the bytes.
            newest_ms: the newest event time.
            times_ms: times of the user's single events, in order of (time, arrival); None if the
                form has no log of visits.
        """
        self._unpack_last_visits(reader, newest_ms)
        if times_ms is None:
            return
        self._visit_merchants = reader.numbered(known=self.known)
        first = len(times_ms) - len(self._visit_merchants)
        if first < 0:
            raise ValueError(f"{len(self._visit_merchants)} visits, {len(times_ms)} events")
        self._visit_times_ms = times_ms[first:]
        self._lost_until_ms = _unpack_limit(reader, newest_ms)

    def _pack_last_visits(self, newest_ms: int) -> bytes:
        last_visits = self._last_visits[self._longest]
        window_from_ms = newest_ms - self._windows_ms[self._longest]
        return b"".join(
            (
                pack_ints([newest_ms - last_ms for last_ms in last_visits.values()]),
                pack_texts(list(last_visits)),
                _pack_limit(self._forgotten_until_ms, newest_ms, window_from_ms),
            )
        )

    def _unpack_last_visits(self, reader: StateReader, newest_ms: int) -> None:
        backs_ms, merchants = reader.ints(), reader.texts()
        for back_ms, merchant_id in zip(backs_ms, merchants, strict=True):
            for window_ms, last_visits in zip(self._windows_ms, self._last_visits, strict=True):
                if back_ms < window_ms:
                    last_visits[merchant_id] = newest_ms - back_ms
        self._forgotten_until_ms = _unpack_limit(reader, newest_ms)

    def _read_late(
        self, as_of_ms: int, newest_ms: int, merchant_id: str | None
    ) -> tuple[list[int], tuple[int, ...]]:
        counts: list[int] = []
        bounds: list[int] = []
        for position, window_ms in enumerate(self._windows_ms):
            after_ms = as_of_ms - window_ms
            visited = self._visited(max(after_ms, self._log_horizon_ms(newest_ms)), as_of_ms)
            if merchant_id is not None:
                visited.add(merchant_id)
            counts.append(len(visited))
            if after_ms < self._lost_until_ms:
                bounds.append(position)
        return counts, tuple(bounds)

    def _visited(self, after_ms: int, until_ms: int) -> set[str]:
        low = bisect_right(self._visit_times_ms, after_ms)
        high = bisect_right(self._visit_times_ms, until_ms)
        return set(self._visit_merchants[low:high])

    def _forget_one(self, last_visits: OrderedDict[str, int]) -> None:
        _, last_ms = last_visits.popitem(last=False)
        self._forgotten_until_ms = max(self._forgotten_until_ms, last_ms)

    def _log_horizon_ms(self, newest_ms: int) -> int:
        return newest_ms - self._windows_ms[self._longest] - self._lateness_ms

    def _shrink_log(self, newest_ms: int) -> None:
        """Drop dead visits when they are the majority; above the cap drop the oldest quarter."""
        times_ms = self._visit_times_ms
        horizon_ms = self._log_horizon_ms(newest_ms)
        size = len(times_ms)
        end = 0
        if times_ms[size >> 1] <= horizon_ms:
            end = bisect_right(times_ms, horizon_ms)
        elif size > self._caps.visits_max:
            start = bisect_right(times_ms, horizon_ms)
            if size - start > self._caps.visits_max:
                end = start + self._caps.visits_max // 4
                self._lost_until_ms = max(self._lost_until_ms, times_ms[end - 1])
        if end:
            del times_ms[:end]
            del self._visit_merchants[:end]


def _insert_late(last_visits: OrderedDict[str, int], merchant_id: str, time_ms: int) -> None:
    """Insert a visit in order of time, after those that are not newer."""
    if last_visits.get(merchant_id, NEVER_MS) >= time_ms:
        return
    last_visits.pop(merchant_id, None)
    newer: list[tuple[str, int]] = []
    while last_visits and last_visits[next(reversed(last_visits))] > time_ms:
        newer.append(last_visits.popitem())
    last_visits[merchant_id] = time_ms
    last_visits.update(reversed(newer))


def _pack_limit(limit_ms: int, newest_ms: int, horizon_ms: int) -> bytes:
    """Write a time if it is after the horizon; before the horizon it has no effect."""
    return pack_ints([newest_ms - limit_ms] if limit_ms > horizon_ms else [])


def _unpack_limit(reader: StateReader, newest_ms: int) -> int:
    for back_ms in reader.ints():
        return newest_ms - back_ms
    return NEVER_MS
