"""One user's state, and the fold (state, transaction) -> values.

Owns the parts that a user's features need: the timeline of amounts, the merchants visited, the
ids already seen. Only tests call it: the native engine must give the same values and the same
bytes (``native/src/state.rs``).
"""

from __future__ import annotations

from collections.abc import Collection

from features.definitions import CAPS, USER_FEATURES, Aggregate, Caps
from features.engine.values import Values
from tests.oracle.aggregates import Plan
from tests.oracle.distinct import DistinctMerchants
from tests.oracle.identity import Content, IdMemory, Rest
from tests.oracle.state_bytes import Form, Header, StateReader, pack_header
from tests.oracle.timeline import Timeline
from tests.oracle.windows import spans_of

_KIND = b"u"
_SPANS = spans_of(f for f in USER_FEATURES if f.aggregate != "distinct")
_DISTINCT_SPANS = spans_of(f for f in USER_FEATURES if f.aggregate == "distinct")
_DISTINCT_WINDOWS_MS = tuple(span.window_ms for span in _DISTINCT_SPANS)
_OF_AMOUNTS: frozenset[Aggregate] = frozenset(("count", "sum", "mean"))
_OF_MERCHANTS: frozenset[Aggregate] = frozenset(("distinct",))
_PLAN = Plan(
    [
        *((_OF_AMOUNTS, span) for span in _SPANS),
        *((_OF_MERCHANTS, span) for span in _DISTINCT_SPANS),
    ],
    USER_FEATURES,
)
_NO_TOTALS = [0] * len(_DISTINCT_SPANS)


class UserState:
    """The state of one user.

    Deterministic: a state decoded from bytes gives the same values and the same bytes as the state
    that wrote them, whatever is folded afterwards. Not safe for use by several threads.

    Args:
        caps: limits; tests use smaller ones.
        form: the form of the bytes that the state is read from.

    Attributes:
        sequence: number of transactions counted; repeats are not counted.
        newest_ms: newest event time, ms since 1970 UTC; None before the first.

    Examples:
        >>> state = UserState()
        >>> values = state.fold(
        ...     transaction_id="tx-1", merchant_id="m", amount_minor=250, event_time_ms=1_000
        ... )
        >>> values.features["user_amount_sum_1h"], values.features["user_transaction_count_1h"]
        (250, 1)
        >>> state.read(as_of_ms=3_601_000).features["user_transaction_count_1h"]
        0
    """

    __slots__ = (
        "_amounts",
        "_form",
        "_ids",
        "_merchants",
        "newest_ms",
        "sequence",
    )

    def __init__(self, *, caps: Caps = CAPS, form: Form = Form.DURABLE) -> None:
        self.sequence = 0
        self.newest_ms: int | None = None
        self._form = form
        self._amounts = Timeline(
            _SPANS,
            sums=True,
            lateness_ms=form.lateness_ms,
            events_max=caps.events_max,
            is_online=form is not Form.DURABLE,
        )
        self._merchants = DistinctMerchants(
            _DISTINCT_WINDOWS_MS, lateness_ms=form.lateness_ms, caps=caps
        )
        self._ids = IdMemory(ids_max=caps.ids_max)

    def fold(
        self,
        *,
        transaction_id: str,
        merchant_id: str,
        amount_minor: int,
        event_time_ms: int,
        rest: Rest = (None,),
    ) -> Values:
        """Count a transaction and give the values as of it, including the transaction.

        A transaction with a known id changes nothing and gives the values as of the event time of
        its first delivery, with ``repeat`` set. A transaction more than ``LATENESS_MS`` older than
        the newest counts in later windows; its own values are computed from the events that are
        left, and all are approximate.

        Args:
            transaction_id: identity of the transaction.
            merchant_id: the merchant that is paid.
            amount_minor: minor units, not negative.
            event_time_ms: ms since 1970 UTC, in any order.
            rest: the fields that no feature needs; only remembered.

        Raises:
            ValueError: the state is an online one, which holds no ids.
        """
        if self._form is not Form.DURABLE:
            raise ValueError("an online state is for reading; decode the durable form to fold")
        first = self._ids.first(transaction_id)
        if first is not None:
            return self._repeat_values(first.event_time_ms)
        newest_ms = self._newest_with(event_time_ms)
        self.newest_ms = newest_ms
        counts, totals, touched = self._amounts.read(event_time_ms, newest_ms=newest_ms)
        if event_time_ms == newest_ms:
            visited = self._merchants.add(event_time_ms, merchant_id=merchant_id)
            bounds = self._merchants.lower_bounds(event_time_ms, visited)
        else:
            visited, bounds = self._merchants.read(
                event_time_ms, newest_ms=newest_ms, merchant_id=merchant_id
            )
            self._merchants.add_late(event_time_ms, merchant_id=merchant_id, newest_ms=newest_ms)
        self._amounts.add(event_time_ms, newest_ms=newest_ms, value=amount_minor)
        content = Content(event_time_ms, merchant_id, amount_minor, rest)
        self._ids.add(transaction_id, content, newest_ms=newest_ms)
        self.sequence += 1
        _count_own(counts, totals, amount_minor)
        return self._values(event_time_ms, (counts, totals, touched), (visited, bounds))

    def first(self, transaction_id: str) -> Content | None:
        """Give what the first delivery of an id said; None if the id is not known."""
        return self._ids.first(transaction_id)

    def peek(
        self, *, transaction_id: str, merchant_id: str, amount_minor: int, event_time_ms: int
    ) -> Values:
        """Give what :meth:`fold` would return, and change nothing.

        An online state holds no ids, so it treats a known id like a new one.
        """
        first = self._ids.first(transaction_id)
        if first is not None:
            return self._repeat_values(first.event_time_ms)
        newest_ms = self._newest_with(event_time_ms)
        counts, totals, touched = self._amounts.read(event_time_ms, newest_ms=newest_ms)
        visited, bounds = self._merchants.read(
            event_time_ms, newest_ms=newest_ms, merchant_id=merchant_id
        )
        _count_own(counts, totals, amount_minor)
        values = self._values(event_time_ms, (counts, totals, touched), (visited, bounds))
        values.sequence += 1
        return values

    def read(self, *, as_of_ms: int) -> Values:
        """Give the values as of a time, ms since 1970 UTC, and change nothing.

        As of a time more than ``LATENESS_MS`` before the newest event they are computed from the
        events that are left, and all are approximate. For an online state, see
        :meth:`encode_online`.
        """
        newest_ms = self._newest_with(as_of_ms)
        reading = self._amounts.read(as_of_ms, newest_ms=newest_ms)
        return self._values(as_of_ms, reading, self._merchants.read(as_of_ms, newest_ms=newest_ms))

    def encode(self) -> bytes:
        """Give the full durable form.

        Raises:
            ValueError: the state is an online one, which lacks part of the durable form.
        """
        if self._form is not Form.DURABLE:
            raise ValueError("an online state has no durable form")
        return self._pack(
            Form.DURABLE,
            self._amounts.pack(newest_ms=self._origin_ms),
            self._merchants.pack(newest_ms=self._origin_ms),
            self._ids.pack(newest_ms=self._origin_ms, known=self._merchants.known),
        )

    def encode_online(self) -> bytes:
        """Give a smaller form, enough to read and to peek with the same values.

        It lacks the ids. For a user with so many events that some are in tiles, it also lacks part
        of the tiles and the merchants visited at their times. A read as of a time before the newest
        event may need them: such a value is approximate and may miss events.

        Raises:
            ValueError: the state was read from a form that lacks part of this one.
        """
        if self._form is Form.ONLINE_AT_NEWEST:
            raise ValueError("a state read from the former online form has no present one")
        return self._pack(
            Form.ONLINE,
            self._amounts.pack(newest_ms=self._origin_ms, is_online=True),
            self._merchants.pack_online(
                newest_ms=self._origin_ms, tiled_until_ms=self._amounts.tiled_until_ms
            ),
        )

    @classmethod
    def decode(cls, data: bytes, *, caps: Caps = CAPS) -> UserState:
        """Read any form.

        Raises:
            StateBytesError: no state of a user, of this format and of these definitions.
        """
        reader = StateReader(data, kind=_KIND)
        state = cls(caps=caps, form=reader.header.form)
        with reader:
            state._unpack(reader)
        return state

    def _unpack(self, reader: StateReader) -> None:
        header = reader.header
        self.sequence, self.newest_ms = header.sequence, header.newest_ms
        origin_ms = self._origin_ms
        self._amounts.unpack(reader, newest_ms=origin_ms)
        if header.form is Form.DURABLE:
            self._merchants.unpack(reader, newest_ms=origin_ms)
            self._ids.unpack(reader, newest_ms=origin_ms, known=self._merchants.known)
        else:
            times_ms = self._amounts.times_ms if header.form is Form.ONLINE else None
            self._merchants.unpack_online(reader, newest_ms=origin_ms, times_ms=times_ms)

    def _pack(self, form: Form, *sections: bytes) -> bytes:
        return pack_header(Header(_KIND, form, self.sequence, self.newest_ms)) + b"".join(sections)

    @property
    def _origin_ms(self) -> int:
        """The time that the times in the bytes count back from."""
        return self.newest_ms or 0

    def _newest_with(self, time_ms: int) -> int:
        return time_ms if self.newest_ms is None else max(self.newest_ms, time_ms)

    def _repeat_values(self, first_ms: int) -> Values:
        values = self.read(as_of_ms=first_ms)
        values.repeat = True
        return values

    def _values(
        self,
        as_of_ms: int,
        amounts: tuple[list[int], list[int], Collection[int]],
        merchants: tuple[list[int], tuple[int, ...]],
    ) -> Values:
        counts, totals, touched = amounts
        visited, bounds = merchants
        features = _PLAN.values(counts + visited, totals + _NO_TOTALS)
        approximate: tuple[str, ...] = ()
        if self.newest_ms is not None and as_of_ms < self.newest_ms - self._form.lateness_ms:
            approximate = _PLAN.names
        elif touched or bounds:
            approximate = _PLAN.names_at((*touched, *(len(_SPANS) + at for at in bounds)))
        return Values(features, approximate, self.sequence)


def _count_own(counts: list[int], totals: list[int], amount_minor: int) -> None:
    """Add the transaction itself, because the windows were read before it was added."""
    for position, count in enumerate(counts):
        counts[position] = count + 1
        totals[position] += amount_minor
