"""Which transactions of a run have arrived somewhere, and how often again, by the number in the id.

The ids of a run are ``{run}-{number}`` and count up without gaps. Used by the demo (`run_tracker`)
and by the benchmarks, which count 10,000 records a second: there the id is searched in the bytes
of a record instead of decoding it. Not thread-safe.
"""

from __future__ import annotations

from typing import Final

_ID_FIELD: Final = b'"transaction_id":"'


class RunIds:
    """Turns the ids of one run into positions 0, 1, 2, ...; ids of others have none."""

    def __init__(self, run: str, *, count: int = 0) -> None:
        """Know the first ``count`` ids of a run, numbered from 0; `add` makes more known.

        Args:
            run: the prefix of the ids; also an attribute.
            count: how many ids are known; also an attribute.
        """
        self.run = run
        self.count = count
        self._prefix = f"{run}-"
        self._mark = _ID_FIELD + self._prefix.encode()
        self._first = 0

    def add(self, transaction_id: str) -> None:
        """Make the next id known. The first one added tells where the numbers of the run begin."""
        if not self.count:
            self._first = int(transaction_id.removeprefix(self._prefix))
        self.count += 1

    def is_of_run(self, event_id: str) -> bool:
        """Say whether an event, a transaction or a label, belongs to the run."""
        return event_id.startswith(self._prefix)

    def position_of(self, transaction_id: str) -> int | None:
        """Give the position of an id; None for ids of others and for those not known.

        Examples:
            >>> ids = RunIds("run-7", count=3)
            >>> ids.position_of("run-7-2"), ids.position_of("run-7-3"), ids.position_of("t-1")
            (2, None, None)
        """
        if not transaction_id.startswith(self._prefix):
            return None
        return self._known(int(transaction_id[len(self._prefix) :]))

    def position_in(self, value: bytes) -> int | None:
        """Give the position of the transaction that a record of Weir is about.

        Args:
            value: JSON without spaces between names and values, as Weir writes it.

        Examples:
            >>> RunIds("run-7", count=3).position_in(b'{"transaction_id":"run-7-1","score":0.5}')
            1
        """
        begin = value.find(self._mark)
        if begin < 0:
            return None
        begin += len(self._mark)
        return self._known(int(value[begin : value.index(b'"', begin)]))

    def _known(self, number: int) -> int | None:
        position = number - self._first
        return position if 0 <= position < self.count else None


class FirstArrivals:
    """Tells first arrivals from repeats. One byte a transaction, so a run may last for hours.

    Attributes:
        arrived: how many transactions have arrived at least once.
        repeats: how many arrivals were not the first.
    """

    def __init__(self, *, count: int = 0) -> None:
        """Expect ``count`` transactions; `expect` adds one."""
        self._has_arrived = bytearray(count)
        self.arrived = 0
        self.repeats = 0

    @property
    def missing(self) -> int:
        """How many expected transactions have not arrived."""
        return len(self._has_arrived) - self.arrived

    def expect(self) -> None:
        """Expect one more transaction, at the next position."""
        self._has_arrived.append(0)

    def note(self, position: int) -> bool:
        """Note an arrival; says whether it is the first of its transaction.

        Examples:
            >>> arrivals = FirstArrivals(count=2)
            >>> arrivals.note(1), arrivals.note(1), arrivals.missing
            (True, False, 1)
        """
        if self._has_arrived[position]:
            self.repeats += 1
            return False
        self._has_arrived[position] = 1
        self.arrived += 1
        return True
