"""The labels of the last weeks by transaction, for as long as their decisions may become mature.

Pure. A label is known from Kafka's timestamp of its record on; of those known at maturity the
latest observation counts. The book is not stored: it is read again from the topic ``labels``, from
the oldest offset that is still needed.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from operations.rollouts.losses import FRAUD, NO_LABEL, NOT_FRAUD

GROUPS: Final = 64
"""Labels are forgotten in groups, each so many times shorter than the time to maturity."""
GROUP_MS_MIN: Final = 1_000


class _Known(NamedTuple):
    known_ms: int
    observed_ms: int
    is_fraud: bool


@dataclass
class _Group:
    """Labels that came one after the other."""

    begin_ms: int
    latest_ms: int
    first: dict[int, int] = field(default_factory=dict)
    transactions: array[int] = field(default_factory=lambda: array("q"))


class LabelBook:
    """Labels by transaction. Memory: about 250 bytes a label, at most ``labels_max`` of them.

    Attributes:
        is_full: more labels came than may be kept; those were dropped, so nothing that the book
            says can be trusted any more.
    """

    def __init__(self, *, maturity_ms: int, labels_max: int) -> None:
        """Start empty.

        Args:
            maturity_ms: age at which the label of a decision counts as known.
            labels_max: most labels that are kept.
        """
        self._group_ms = max(maturity_ms // GROUPS, GROUP_MS_MIN)
        self._labels_max = labels_max
        self._labels: dict[int, tuple[_Known, ...]] = {}
        self._groups: deque[_Group] = deque()
        self._size = 0
        self.is_full = False

    def __len__(self) -> int:
        """Number of labels."""
        return self._size

    def add(
        self,
        transaction: int,
        *,
        known_ms: int,
        observed_ms: int,
        is_fraud: bool,
        partition: int,
        offset: int,
    ) -> None:
        """Take the next label of a partition.

        Args:
            transaction: from ``counted.transaction_key``.
            known_ms: Kafka's timestamp, ms since 1970 UTC.
            observed_ms: of the label, ms since 1970 UTC.
            is_fraud: of the label.
            partition: of the record.
            offset: of the record.
        """
        if self._size >= self._labels_max:
            self.is_full = True
            return
        self._size += 1
        group = self._groups[-1] if self._groups else None
        if group is None or known_ms - group.begin_ms > self._group_ms:
            group = _Group(known_ms, known_ms)
            self._groups.append(group)
        group.latest_ms = max(group.latest_ms, known_ms)
        group.first.setdefault(partition, offset)
        group.transactions.append(transaction)
        known = _Known(known_ms, observed_ms, is_fraud)
        self._labels[transaction] = (*self._labels.get(transaction, ()), known)

    def at(self, transaction: int, *, deadline_ms: int) -> int:
        """Give what is known of a transaction at ``deadline_ms``: a constant of ``losses``."""
        known = [each for each in self._labels.get(transaction, ()) if each.known_ms <= deadline_ms]
        if not known:
            return NO_LABEL
        latest = max(known, key=lambda each: (each.observed_ms, each.known_ms))
        return FRAUD if latest.is_fraud else NOT_FRAUD

    def forget(self, *, before_ms: int) -> None:
        """Forget the labels that were known before ``before_ms``: their decisions are counted."""
        while self._groups and self._groups[0].latest_ms < before_ms:
            group = self._groups.popleft()
            self._size -= len(group.transactions)
            for transaction in set(group.transactions):
                kept = tuple(
                    each for each in self._labels.get(transaction, ()) if each.known_ms >= before_ms
                )
                if kept:
                    self._labels[transaction] = kept
                else:
                    self._labels.pop(transaction, None)

    def first_needed(self, positions: Mapping[int, int]) -> dict[int, int]:
        """Give the offsets from which a new book must be read.

        Args:
            positions: the offset after the last label read, by partition.
        """
        needed = dict(positions)
        for group in reversed(self._groups):
            needed |= group.first
        return needed
