"""The transaction ids that a user has already sent; identity is the transaction id alone.

An id is kept until the user's newest event time has advanced by more than ``IDENTITY_MS`` since the
first delivery of the id. Above a cap the oldest id is dropped. Used by ``user_state.py``.
"""

from __future__ import annotations

from collections import OrderedDict

from features.definitions import IDENTITY_MS, IDS_MAX
from tests.oracle.state_bytes import StateReader, pack_ints, pack_texts


class IdMemory:
    """The transaction ids of one user's last day, with the event time of the first delivery.

    Args:
        ids_max: number of ids that are kept.

    Examples:
        >>> memory = IdMemory()
        >>> memory.add("tx-1", event_time_ms=0, newest_ms=0)
        >>> memory.add("tx-2", event_time_ms=86_400_000, newest_ms=86_400_000)
        >>> memory.first_delivery_ms("tx-1")
        0
        >>> memory.add("tx-3", event_time_ms=86_400_001, newest_ms=86_400_001)
        >>> memory.first_delivery_ms("tx-1") is None
        True
    """

    __slots__ = ("_event_times_ms", "_ids_max", "_newest_ms_of_late")

    def __init__(self, *, ids_max: int = IDS_MAX) -> None:
        self._ids_max = ids_max
        self._event_times_ms: OrderedDict[str, int] = OrderedDict()
        # The newest event time at the first delivery; for an event in order, that is its own time.
        self._newest_ms_of_late: dict[str, int] = {}

    def first_delivery_ms(self, transaction_id: str) -> int | None:
        """Give the event time of the first delivery of an id; None if the id is not known."""
        return self._event_times_ms.get(transaction_id)

    def add(self, transaction_id: str, *, event_time_ms: int, newest_ms: int) -> None:
        """Remember a first delivery.

        Args:
            transaction_id: an id that is not known yet.
            event_time_ms: event time of the delivery.
            newest_ms: the user's newest event time, including this event.
        """
        ids = self._event_times_ms
        ids[transaction_id] = event_time_ms
        if event_time_ms < newest_ms:
            self._newest_ms_of_late[transaction_id] = newest_ms
        else:
            oldest = next(iter(ids))
            while newest_ms - self._newest_ms_at(oldest) > IDENTITY_MS:
                self._forget(oldest)
                oldest = next(iter(ids))
        if len(ids) > self._ids_max:
            self._forget(next(iter(ids)))

    def pack(self, *, newest_ms: int) -> bytes:
        """Write ids in the order of first delivery."""
        ids = self._event_times_ms
        late = self._newest_ms_of_late
        at_delivery = [late.get(key, time_ms) for key, time_ms in ids.items()] if late else []
        return (
            pack_texts(list(ids))
            + pack_ints([newest_ms - time_ms for time_ms in ids.values()])
            + pack_ints([newest_ms - time_ms for time_ms in at_delivery])
        )

    def unpack(self, reader: StateReader, *, newest_ms: int) -> None:
        """Read what :meth:`pack` wrote into this empty memory."""
        ids, backs_ms, at_delivery = reader.texts(), reader.ints(), reader.ints()
        for key, back_ms in zip(ids, backs_ms, strict=True):
            self._event_times_ms[key] = newest_ms - back_ms
        for key, back_ms, delivery_back_ms in zip(ids, backs_ms, at_delivery, strict=False):
            if delivery_back_ms != back_ms:
                self._newest_ms_of_late[key] = newest_ms - delivery_back_ms

    def _newest_ms_at(self, transaction_id: str) -> int:
        late_ms = self._newest_ms_of_late.get(transaction_id)
        return self._event_times_ms[transaction_id] if late_ms is None else late_ms

    def _forget(self, transaction_id: str) -> None:
        del self._event_times_ms[transaction_id]
        self._newest_ms_of_late.pop(transaction_id, None)
