"""The latest decisions of this process, for when Redis is down and for repeats. Memory only.

Knows what is kept of a decision as bytes, and a transaction as the digest of its id.
"""

from __future__ import annotations

from collections import OrderedDict


class RecentDecisions:
    """The latest decisions of this process, at most ``limit``; the oldest one is dropped.

    Examples:
        >>> recent = RecentDecisions(limit=1)
        >>> recent.remember(b"t-1", b"1")
        >>> recent.remember(b"t-2", b"2")
        >>> recent.recall(b"t-1"), recent.recall(b"t-2")
        (None, b'2')
    """

    def __init__(self, *, limit: int) -> None:
        """Start empty."""
        self._limit = limit
        self._decisions: OrderedDict[bytes, bytes] = OrderedDict()

    def __len__(self) -> int:
        """Count the remembered decisions."""
        return len(self._decisions)

    def recall(self, digest: bytes) -> bytes | None:
        """Give the decision of a transaction, None when it is not remembered."""
        return self._decisions.get(digest)

    def remember(self, digest: bytes, value: bytes) -> None:
        """Remember a decision, as the most recent one."""
        self._decisions[digest] = value
        self._decisions.move_to_end(digest)
        if len(self._decisions) > self._limit:
            self._decisions.popitem(last=False)

    def forget(self, digest: bytes) -> None:
        """Forget a decision, remembered or not."""
        self._decisions.pop(digest, None)

    def oldest(self, count_max: int) -> list[tuple[bytes, bytes]]:
        """Give the least recent ones, oldest first."""
        return [item for item, _ in zip(self._decisions.items(), range(count_max), strict=False)]
