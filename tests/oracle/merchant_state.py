"""One merchant's state, and the folds of transactions and labels into it.

Owns the timeline of the merchant's transactions and the labels (``labels.py``). A rate is the
number of frauds divided by the number of transactions in the same window. Every feature has a
delay, so the order in which the partitions of users are read changes no value, as long as they
differ by less than the delay. Only tests call it, see ``user_state.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.definitions import CAPS, MERCHANT_FEATURES, Aggregate, Caps
from features.engine.values import Values
from tests.oracle.aggregates import Plan
from tests.oracle.labels import FraudLabels
from tests.oracle.state_bytes import (
    Form,
    Header,
    StateReader,
    pack_header,
    pack_ints,
    pack_texts,
)
from tests.oracle.timeline import Timeline
from tests.oracle.windows import BEFORE_ALL_MS, NEVER_MS, Edges, spans_of

if TYPE_CHECKING:
    from schemas.label import Label

_KIND = b"m"
_SPANS = spans_of(MERCHANT_FEATURES)
_REACH_MAX_MS = max(span.reach_ms for span in _SPANS)
_COUNT: frozenset[Aggregate] = frozenset(("count",))
_RATE: frozenset[Aggregate] = frozenset(("rate",))
_PLAN = Plan(
    [*((_COUNT, span) for span in _SPANS), *((_RATE, span) for span in _SPANS)],
    MERCHANT_FEATURES,
)
_RATE_POSITIONS = range(len(_SPANS), 2 * len(_SPANS))
_NO_TOTALS = [0] * len(_SPANS)


class MerchantState:
    """The state of one merchant.

    Deterministic like ``UserState``, and like it not safe for use by several threads.

    Args:
        caps: limits; tests use smaller ones.
        form: the form of the bytes that the state is read from.

    Attributes:
        sequence: number of transactions counted plus labels taken.
        newest_ms: newest event time of a transaction, ms since 1970 UTC; None before the first.
    """

    __slots__ = (
        "_form",
        "_labels",
        "_times_ms_of_ids",
        "_transactions",
        "newest_ms",
        "sequence",
    )

    def __init__(self, *, caps: Caps = CAPS, form: Form = Form.DURABLE) -> None:
        self.sequence = 0
        self.newest_ms: int | None = None
        self._form = form
        is_online = form is not Form.DURABLE
        self._transactions = Timeline(
            _SPANS,
            sums=False,
            lateness_ms=form.lateness_ms,
            events_max=caps.events_max,
            is_online=is_online,
        )
        self._labels = FraudLabels(
            _SPANS, lateness_ms=form.lateness_ms, caps=caps, is_online=is_online
        )
        # Only of single events; the event time of a transaction in tiles is taken from its label.
        self._times_ms_of_ids: dict[str, int] = {}

    def fold_transaction(
        self, *, transaction_id: str, event_time_ms: int, is_repeat: bool
    ) -> Values:
        """Count a transaction and give the values as of it.

        Args:
            transaction_id: identity of the transaction, to find its labels.
            event_time_ms: ms since 1970 UTC, in any order.
            is_repeat: the user's state has counted the transaction before; nothing changes.

        Raises:
            ValueError: the state is an online one.
        """
        self._refuse_online()
        if is_repeat:
            values = self.read(as_of_ms=event_time_ms)
            values.repeat = True
            return values
        newest_ms = BEFORE_ALL_MS if self.newest_ms is None else self.newest_ms
        if event_time_ms > newest_ms:
            self._labels.advance(newest_ms, event_time_ms)
            self.newest_ms = newest_ms = event_time_ms
        self._add(transaction_id, event_time_ms, newest_ms=newest_ms)
        self.sequence += 1
        return self.read(as_of_ms=event_time_ms)

    def fold_label(self, label: Label) -> None:
        """Add a label of a transaction of this merchant; the transaction may arrive later.

        Raises:
            ValueError: the state is an online one.
        """
        self._refuse_online()
        newest_ms = BEFORE_ALL_MS if self.newest_ms is None else self.newest_ms
        changed = self._labels.add(
            label.transaction_id,
            observed_ms=label.observed_time_ms,
            is_fraud=label.is_fraud,
            time_ms=self._time_ms_of(label, newest_ms),
            newest_ms=newest_ms,
        )
        self.sequence += changed

    def read(self, *, as_of_ms: int) -> Values:
        """Give the values as of a time, ms since 1970 UTC, and change nothing.

        As of a time more than ``LATENESS_MS`` before the newest event they are computed from the
        events that are left, and all are approximate.
        """
        newest_ms = BEFORE_ALL_MS if self.newest_ms is None else self.newest_ms
        counts, _, touched = self._transactions.read(as_of_ms, newest_ms=newest_ms)
        # Frauds and transactions are counted between the same edges.
        frauds, _, moved = self._labels.frauds.read(as_of_ms, newest_ms=newest_ms, moved=touched)
        for position, edges in moved.items():
            touched[position] = edges
            counts[position], _ = self._transactions.between(position, edges, newest_ms=newest_ms)
        if as_of_ms != newest_ms:
            self._correct(frauds, as_of_ms, newest_ms)
        lost = self._lost_positions(as_of_ms)
        if touched or lost:
            # A label may have been counted for a transaction that never arrived.
            pairs = zip(frauds, counts, strict=True)
            frauds = [max(0, min(fraud, count)) for fraud, count in pairs]
        approximate: tuple[str, ...] = ()
        if as_of_ms < newest_ms - self._form.lateness_ms:
            approximate = _PLAN.names
        elif touched or lost:
            rates = (_RATE_POSITIONS[at] for at in dict.fromkeys((*touched, *lost)))
            approximate = _PLAN.names_at((*touched, *rates))
        features = _PLAN.values(counts + counts, _NO_TOTALS + frauds)
        return Values(features, approximate, self.sequence)

    def encode(self) -> bytes:
        """Give the full durable form.

        Raises:
            ValueError: the state is an online one, which lacks part of the durable form.
        """
        self._refuse_online()
        return self._encode(Form.DURABLE)

    def encode_online(self) -> bytes:
        """Give a smaller form, enough to read with the same values.

        Raises:
            ValueError: the state was read from a form that lacks part of this one.
        """
        if self._form is Form.ONLINE_AT_NEWEST:
            raise ValueError("a state read from the former online form has no present one")
        return self._encode(Form.ONLINE)

    @classmethod
    def decode(cls, data: bytes, *, caps: Caps = CAPS) -> MerchantState:
        """Read any form.

        Raises:
            StateBytesError: no state of a merchant, of this format and of these definitions.
        """
        reader = StateReader(data, kind=_KIND)
        state = cls(caps=caps, form=reader.header.form)
        with reader:
            state._unpack(reader)
        return state

    def _refuse_online(self) -> None:
        if self._form is not Form.DURABLE:
            raise ValueError("an online state is for reading; decode the durable form to fold")

    def _unpack(self, reader: StateReader) -> None:
        header = reader.header
        self.sequence, self.newest_ms = header.sequence, header.newest_ms
        newest_ms = BEFORE_ALL_MS if header.newest_ms is None else header.newest_ms
        self._transactions.unpack(reader, newest_ms=newest_ms)
        self._labels.unpack(reader, newest_ms=newest_ms)
        if header.form is Form.DURABLE:
            ids, backs_ms = reader.texts(), reader.ints()
            self._times_ms_of_ids = {
                key: newest_ms - back_ms for key, back_ms in zip(ids, backs_ms, strict=True)
            }

    def _encode(self, form: Form) -> bytes:
        newest_ms = BEFORE_ALL_MS if self.newest_ms is None else self.newest_ms
        is_online = form is not Form.DURABLE
        sections = [
            pack_header(Header(_KIND, form, self.sequence, self.newest_ms)),
            self._transactions.pack(newest_ms=newest_ms, is_online=is_online),
            self._labels.pack(newest_ms=newest_ms, is_online=is_online),
        ]
        if not is_online:
            known = self._known_ids(newest_ms)
            sections.append(pack_texts(list(known)))
            sections.append(pack_ints([newest_ms - time_ms for time_ms in known.values()]))
        return b"".join(sections)

    def _add(self, transaction_id: str, event_time_ms: int, *, newest_ms: int) -> None:
        has_shrunk = self._transactions.add(event_time_ms, newest_ms=newest_ms)
        known_after_ms = self._known_after_ms(newest_ms)
        known_ms = self._times_ms_of_ids.get(transaction_id, NEVER_MS)
        # If two users send the same id, labels belong to the transaction that arrived first.
        if known_ms <= known_after_ms:
            if event_time_ms > self._transactions.horizon_ms(newest_ms):
                self._labels.join(transaction_id, time_ms=event_time_ms, newest_ms=newest_ms)
            if event_time_ms > known_after_ms:
                # A dead entry is removed first, so that the order is that of arrival.
                self._times_ms_of_ids.pop(transaction_id, None)
                self._times_ms_of_ids[transaction_id] = event_time_ms
        if has_shrunk:
            self._times_ms_of_ids = self._known_ids(newest_ms)

    def _known_after_ms(self, newest_ms: int) -> int:
        """Give the time up to which transactions are dead or in tiles, and their ids unknown."""
        return max(self._transactions.horizon_ms(newest_ms), self._transactions.tiled_until_ms)

    def _known_ids(self, newest_ms: int) -> dict[str, int]:
        known_after_ms = self._known_after_ms(newest_ms)
        return {key: ms for key, ms in self._times_ms_of_ids.items() if ms > known_after_ms}

    def _time_ms_of(self, label: Label, newest_ms: int) -> int | None:
        """Give the event time of a label's transaction, None if it has not arrived.

        The id of a transaction in tiles is no longer known; its event time is the one in the label.
        """
        known_ms = self._times_ms_of_ids.get(label.transaction_id, NEVER_MS)
        if known_ms > self._known_after_ms(newest_ms):
            return known_ms
        tiled_until_ms = self._transactions.tiled_until_ms
        if self._transactions.horizon_ms(newest_ms) < label.event_time_ms <= tiled_until_ms:
            return label.event_time_ms
        return None

    def _edges(self, position: int, as_of_ms: int, newest_ms: int) -> Edges:
        """Give the edges of a window, moved where they cut a tile of either timeline."""
        edges = _SPANS[position].edges(as_of_ms)
        edges = self._transactions.align(position, edges, newest_ms=newest_ms)
        return self._labels.frauds.align(position, edges, newest_ms=newest_ms)

    def _correct(self, frauds: list[int], as_of_ms: int, newest_ms: int) -> None:
        """Convert frauds as of the newest event into frauds as of another time."""
        corrections = list(self._labels.corrections(as_of_ms, newest_ms=newest_ms))
        if not corrections:
            return
        for position in range(len(_SPANS)):
            after_ms, until_ms = self._edges(position, as_of_ms, newest_ms)
            frauds[position] += sum(
                change for time_ms, change in corrections if after_ms < time_ms <= until_ms
            )

    def _lost_positions(self, as_of_ms: int) -> tuple[int, ...]:
        """Give the windows that reach back to transactions whose labels were dropped."""
        lost_until_ms = self._labels.lost_until_ms
        if lost_until_ms <= as_of_ms - _REACH_MAX_MS:
            return ()
        return tuple(
            position
            for position, span in enumerate(_SPANS)
            if lost_until_ms > as_of_ms - span.reach_ms
        )
