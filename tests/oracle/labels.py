"""The labels of one merchant's transactions, and which transactions are fraud as of a time.

A transaction is fraud as of a time if the latest label observed at or before that time says so. The
timeline holds the frauds as of the merchant's newest event. Labels with a later observed time are
kept until the newest event reaches it; a read as of an earlier or later time corrects the counts by
the labels in between. A label may arrive before its transaction. Used by ``merchant_state.py``.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from itertools import islice

from features.definitions import CAPS, LABEL_WAIT_MS, LATENESS_MS, Caps
from tests.oracle.state_bytes import StateReader, pack_instants, pack_ints, pack_texts
from tests.oracle.timeline import Timeline
from tests.oracle.windows import NEVER_MS, Span

_FAR_MS = 1 << 62
_SWEEP_MIN = 64


class Labelled:
    """One transaction's labels, in order of (observed time, arrival).

    Attributes:
        time_ms: the transaction's event time; None while the transaction has not arrived.
        observed_ms: observed time of each label.
        frauds: whether each label says fraud.
        is_counted: whether the transaction is in the timeline of frauds.
    """

    __slots__ = ("frauds", "is_counted", "observed_ms", "time_ms")

    def __init__(self, time_ms: int | None) -> None:
        self.time_ms = time_ms
        self.observed_ms: list[int] = []
        self.frauds: list[bool] = []
        self.is_counted = False

    def is_fraud(self, as_of_ms: int) -> bool:
        """Say whether the latest label observed at or before a time says fraud; False if none."""
        at = bisect_right(self.observed_ms, as_of_ms)
        return at > 0 and self.frauds[at - 1]

    def changes_after(self, time_ms: int) -> bool:
        """Say whether a label observed after a time changes whether the transaction is fraud."""
        at = bisect_right(self.observed_ms, time_ms)
        return (not self.is_fraud(time_ms)) in self.frauds[at:]

    def add(self, observed_ms: int, *, is_fraud: bool) -> bool:
        """Add a label; of labels with equal observed times the later arrival counts.

        Returns:
            False if the same label is known, because it was delivered again.
        """
        at = bisect_right(self.observed_ms, observed_ms)
        first = bisect_left(self.observed_ms, observed_ms)
        if is_fraud in self.frauds[first:at]:
            return False
        self.observed_ms.insert(at, observed_ms)
        self.frauds.insert(at, is_fraud)
        return True


class FraudLabels:
    """The labels of one merchant.

    Args:
        spans: the windows in which frauds are counted.
        lateness_ms: how much older than the newest event a read may be and still be exact.
        caps: limits.
        is_online: the labels are those of an online form, see :meth:`pack`.

    Attributes:
        frauds: the event times of the transactions that are fraud as of the newest event.
        lost_until_ms: the latest event time of a transaction whose labels were dropped because of
            a cap.
    """

    __slots__ = (
        "_caps",
        "_entries",
        "_lateness_ms",
        "_next_observed_ms",
        "_observations",
        "_sweep_size",
        "frauds",
        "lost_until_ms",
    )

    def __init__(
        self,
        spans: Sequence[Span],
        *,
        lateness_ms: int = LATENESS_MS,
        caps: Caps = CAPS,
        is_online: bool = False,
    ) -> None:
        self.frauds = Timeline(
            spans,
            sums=False,
            lateness_ms=lateness_ms,
            events_max=caps.events_max,
            is_online=is_online,
        )
        self.lost_until_ms = NEVER_MS
        self._lateness_ms = lateness_ms
        self._caps = caps
        self._entries: dict[str, Labelled] = {}
        # (observed time, transaction id) of the labels that can change a later read.
        self._observations: list[tuple[int, str]] = []
        self._next_observed_ms = _FAR_MS
        self._sweep_size = min(_SWEEP_MIN, caps.labelled_max + 1)

    def add(
        self,
        transaction_id: str,
        *,
        observed_ms: int,
        is_fraud: bool,
        time_ms: int | None,
        newest_ms: int,
    ) -> bool:
        """Add a label.

        Args:
            transaction_id: the transaction of the label.
            observed_ms: observed time, ms since 1970 UTC, in any order.
            is_fraud: whether the label says fraud.
            time_ms: event time of the transaction, None if it has not arrived.
            newest_ms: the merchant's newest event time.

        Returns:
            Whether the state changed. It does not for a label that is known, nor for one whose
            transaction has been missing for too long.
        """
        entry = self._live_entry(transaction_id, newest_ms)
        if entry is None:
            if time_ms is None and newest_ms - observed_ms > LABEL_WAIT_MS:
                return False
            entry = self._new_entry(transaction_id, time_ms)
        if not entry.add(observed_ms, is_fraud=is_fraud):
            return False
        if len(entry.observed_ms) > self._caps.observations_max:
            del entry.observed_ms[0], entry.frauds[0]
            self._lose(entry)
        if observed_ms > newest_ms - self._lateness_ms:
            insort(self._observations, (observed_ms, transaction_id))
        if newest_ms < observed_ms < self._next_observed_ms:
            self._next_observed_ms = observed_ms
        self._evaluate(entry, newest_ms)
        self._forget_oldest(newest_ms)
        return True

    def join(self, transaction_id: str, *, time_ms: int, newest_ms: int) -> None:
        """Set the event time, ms since 1970 UTC, of a transaction that arrives after its labels."""
        entry = self._live_entry(transaction_id, newest_ms)
        if entry is None or entry.time_ms == time_ms:
            return
        if entry.is_counted and entry.time_ms is not None:
            # Its label came before the transaction, when the label's event time was in tiles.
            self.frauds.remove(entry.time_ms, newest_ms=newest_ms)
            entry.is_counted = False
        entry.time_ms = time_ms
        self._evaluate(entry, newest_ms)

    def advance(self, before_ms: int, newest_ms: int) -> None:
        """Advance the newest event time: labels observed until then count from now on."""
        if newest_ms < self._next_observed_ms:
            return
        for entry in self._observed_between(before_ms, newest_ms, newest_ms):
            self._evaluate(entry, newest_ms)
        end = self._position(newest_ms)
        rest = self._observations[end : end + 1]
        self._next_observed_ms = rest[0][0] if rest else _FAR_MS
        dead = self._position(newest_ms - self._lateness_ms)
        if 2 * dead > len(self._observations):
            del self._observations[:dead]

    def corrections(self, as_of_ms: int, *, newest_ms: int) -> Iterator[tuple[int, int]]:
        """Give the differences between the frauds as of a time and as of the newest event.

        Yields:
            Event time of a transaction, and 1 if it is fraud as of that time but not as of the
            newest event, -1 in the opposite case.
        """
        if as_of_ms < newest_ms:
            low_ms, high_ms = max(as_of_ms, newest_ms - self._lateness_ms), newest_ms
        else:
            low_ms, high_ms = newest_ms, as_of_ms
        for entry in self._observed_between(low_ms, high_ms, newest_ms):
            if entry.time_ms is not None and entry.is_fraud(as_of_ms) != entry.is_counted:
                yield entry.time_ms, -1 if entry.is_counted else 1

    def pack(self, *, newest_ms: int, is_online: bool) -> bytes:
        """Write the labels that can still change a read.

        Online these are the labels of the transactions that are fraud as of one time that can be
        read, and not as of another.
        """
        entries = self._live_entries(newest_ms)
        if is_online:
            since_ms = newest_ms - self._lateness_ms
            entries = {
                key: entry
                for key, entry in entries.items()
                if entry.time_ms is not None and entry.changes_after(since_ms)
            }
        lost = self.lost_until_ms > self.frauds.horizon_ms(newest_ms)
        return b"".join(
            (
                self.frauds.pack(newest_ms=newest_ms, is_online=is_online),
                pack_texts(list(entries)),
                pack_ints(
                    [
                        0 if entry.time_ms is None else newest_ms - entry.time_ms + 1
                        for entry in entries.values()
                    ]
                ),
                pack_ints([len(entry.frauds) for entry in entries.values()]),
                pack_instants(ms for entry in entries.values() for ms in entry.observed_ms),
                pack_ints([fraud for entry in entries.values() for fraud in entry.frauds]),
                pack_instants([self.lost_until_ms] if lost else []),
            )
        )

    def unpack(self, reader: StateReader, *, newest_ms: int) -> None:
        """Read what :meth:`pack` wrote into this empty object."""
        self.frauds.unpack(reader, newest_ms=newest_ms)
        ids, backs_ms, sizes = reader.texts(), reader.ints(), reader.ints()
        observed_ms, frauds = iter(reader.instants()), iter(reader.ints())
        for transaction_id, back_ms, size in zip(ids, backs_ms, sizes, strict=True):
            entry = Labelled(newest_ms - back_ms + 1 if back_ms else None)
            entry.observed_ms = list(islice(observed_ms, size))
            entry.frauds = [bool(fraud) for fraud in islice(frauds, size)]
            entry.is_counted = entry.time_ms is not None and entry.is_fraud(newest_ms)
            self._entries[transaction_id] = entry
        for lost_until_ms in reader.instants():
            self.lost_until_ms = lost_until_ms
        self._observations = sorted(
            (ms, transaction_id)
            for transaction_id, entry in self._entries.items()
            for ms in entry.observed_ms
            if ms > newest_ms - self._lateness_ms
        )
        end = self._position(newest_ms)
        if end < len(self._observations):
            self._next_observed_ms = self._observations[end][0]

    def _position(self, observed_ms: int) -> int:
        return bisect_right(self._observations, observed_ms, key=lambda known: known[0])

    def _observed_between(self, after_ms: int, until_ms: int, newest_ms: int) -> Iterator[Labelled]:
        """Give each transaction that has a label observed in ``(after_ms, until_ms]`` once."""
        start, end = self._position(after_ms), self._position(until_ms)
        for transaction_id in dict.fromkeys(key for _, key in self._observations[start:end]):
            entry = self._live_entry(transaction_id, newest_ms)
            if entry is not None:
                yield entry

    def _evaluate(self, entry: Labelled, newest_ms: int) -> None:
        """Update the timeline of frauds by the labels of a transaction."""
        is_fraud = entry.is_fraud(newest_ms)
        if entry.time_ms is None or is_fraud == entry.is_counted:
            return
        entry.is_counted = is_fraud
        if is_fraud:
            self.frauds.add(entry.time_ms, newest_ms=newest_ms)
        else:
            self.frauds.remove(entry.time_ms, newest_ms=newest_ms)

    def _is_live(self, entry: Labelled, newest_ms: int) -> bool:
        """Say whether the labels can still change a window or meet their transaction."""
        if entry.time_ms is None:
            return newest_ms - entry.observed_ms[-1] <= LABEL_WAIT_MS
        return entry.time_ms > self.frauds.horizon_ms(newest_ms)

    def _live_entry(self, transaction_id: str, newest_ms: int) -> Labelled | None:
        entry = self._entries.get(transaction_id)
        return entry if entry is not None and self._is_live(entry, newest_ms) else None

    def _live_entries(self, newest_ms: int) -> dict[str, Labelled]:
        return {
            key: entry for key, entry in self._entries.items() if self._is_live(entry, newest_ms)
        }

    def _new_entry(self, transaction_id: str, time_ms: int | None) -> Labelled:
        # A dead entry of the same id is removed first, so that the order is that of arrival.
        self._entries.pop(transaction_id, None)
        entry = self._entries[transaction_id] = Labelled(time_ms)
        return entry

    def _forget_oldest(self, newest_ms: int) -> None:
        """Drop dead entries from time to time; above the cap drop the oldest quarter by arrival."""
        if len(self._entries) < self._sweep_size:
            return
        live = self._live_entries(newest_ms)
        if len(live) > self._caps.labelled_max:
            for key in list(islice(live, self._caps.labelled_max // 4)):
                self._lose(live.pop(key))
        self._entries = live
        self._sweep_size = min(max(_SWEEP_MIN, 2 * len(live)), self._caps.labelled_max + 1)

    def _lose(self, entry: Labelled) -> None:
        time_ms = entry.observed_ms[-1] if entry.time_ms is None else entry.time_ms
        self.lost_until_ms = max(self.lost_until_ms, time_ms)
