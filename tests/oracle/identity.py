"""The transactions that a user has already sent; identity is the transaction id alone.

An id is kept until the user's newest event time has advanced by more than ``IDENTITY_MS`` since the
first delivery of the id, and with it what the first delivery said. Above a cap the oldest id is
dropped. Used by ``user_state.py``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from features.definitions import IDENTITY_MS, IDS_MAX
from tests.oracle.state_bytes import StateReader, pack_ints, pack_numbered, pack_texts

Rest = tuple[str | None, ...]
"""The fields of a transaction that no feature needs, in the order of the wire."""


class Content(NamedTuple):
    """What a transaction said, except for its id and its user.

    Attributes:
        event_time_ms: ms since 1970 UTC.
        merchant_id: the merchant that is paid.
        amount_minor: minor units.
        rest: the other fields; one missing field if they were not given.
    """

    event_time_ms: int
    merchant_id: str
    amount_minor: int
    rest: Rest = (None,)


class IdMemory:
    """The transaction ids of one user's last day, with the content of the first delivery.

    Args:
        ids_max: number of ids that are kept.

    Examples:
        >>> memory = IdMemory()
        >>> memory.add("tx-1", Content(0, "m", 250), newest_ms=0)
        >>> memory.add("tx-2", Content(86_400_000, "m", 250), newest_ms=86_400_000)
        >>> memory.first("tx-1").event_time_ms
        0
        >>> memory.add("tx-3", Content(86_400_001, "m", 250), newest_ms=86_400_001)
        >>> memory.first("tx-1") is None
        True
    """

    __slots__ = ("_contents", "_ids_max", "_newest_ms_of_late")

    def __init__(self, *, ids_max: int = IDS_MAX) -> None:
        self._ids_max = ids_max
        self._contents: OrderedDict[str, Content] = OrderedDict()
        # The newest event time at the first delivery; for an event in order, that is its own time.
        self._newest_ms_of_late: dict[str, int] = {}

    def first(self, transaction_id: str) -> Content | None:
        """Give the content of the first delivery of an id; None if the id is not known."""
        return self._contents.get(transaction_id)

    def add(self, transaction_id: str, content: Content, *, newest_ms: int) -> None:
        """Remember a first delivery.

        Args:
            transaction_id: an id that is not known yet.
            content: of the delivery.
            newest_ms: the user's newest event time, including this event.
        """
        ids = self._contents
        ids[transaction_id] = content
        if content.event_time_ms < newest_ms:
            self._newest_ms_of_late[transaction_id] = newest_ms
        else:
            oldest = next(iter(ids))
            while newest_ms - self._newest_ms_at(oldest) > IDENTITY_MS:
                self._forget(oldest)
                oldest = next(iter(ids))
        if len(ids) > self._ids_max:
            self._forget(next(iter(ids)))

    def pack(self, *, newest_ms: int, known: Iterable[str]) -> bytes:
        """Write ids and contents in the order of first delivery.

        Args:
            newest_ms: the user's newest event time.
            known: merchants that the bytes before have already.
        """
        late = self._newest_ms_of_late
        contents = self._contents.values()
        at_delivery = (
            [late.get(key, content.event_time_ms) for key, content in self._contents.items()]
            if late
            else []
        )
        return b"".join(
            (
                pack_texts(list(self._contents)),
                pack_ints([newest_ms - content.event_time_ms for content in contents]),
                pack_ints([newest_ms - time_ms for time_ms in at_delivery]),
                pack_ints([content.amount_minor for content in contents]),
                pack_numbered([content.merchant_id for content in contents], known=known),
                pack_numbered([_text_of(content.rest) for content in contents]),
            )
        )

    def unpack(self, reader: StateReader, *, newest_ms: int, known: Iterable[str]) -> None:
        """Read what :meth:`pack` wrote into this empty memory."""
        ids, backs_ms, at_delivery = reader.texts(), reader.ints(), reader.ints()
        amounts, merchants = reader.ints(), reader.numbered(known=known)
        rests = map(_rest_of, reader.numbered())
        times_ms = [newest_ms - back_ms for back_ms in backs_ms]
        contents = map(Content, times_ms, merchants, amounts, rests)
        self._contents.update(zip(ids, contents, strict=True))
        for key, back_ms, delivery_back_ms in zip(ids, backs_ms, at_delivery, strict=False):
            if delivery_back_ms != back_ms:
                self._newest_ms_of_late[key] = newest_ms - delivery_back_ms

    def _newest_ms_at(self, transaction_id: str) -> int:
        late_ms = self._newest_ms_of_late.get(transaction_id)
        return self._contents[transaction_id].event_time_ms if late_ms is None else late_ms

    def _forget(self, transaction_id: str) -> None:
        del self._contents[transaction_id]
        self._newest_ms_of_late.pop(transaction_id, None)


def _text_of(rest: Rest) -> str:
    r"""Give the rest as one text; no field has a control character.

    Examples:
        >>> _text_of(("EUR", None, "DE"))
        'tEUR\x1f\x1ftDE'
    """
    return "\x1f".join("" if value is None else f"t{value}" for value in rest)


def _rest_of(text: str) -> Rest:
    return tuple(part[1:] if part else None for part in text.split("\x1f"))
