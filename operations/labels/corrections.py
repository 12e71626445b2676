"""Which labels name another merchant than their transaction's, and the label that is right.

Pure: knows tables of rows, no archive and no Kafka. Called by `operations.labels.checker`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from schemas.label import Label
from schemas.topics import LABELS
from training.archive.first_rows import is_first_row


class ReportedLabel(NamedTuple):
    """A label, and where it is in the topic `labels`."""

    label: Label
    partition: int
    offset: int

    @property
    def place(self) -> str:
        """Where it is, as people write it.

        Examples:
            >>> ReportedLabel(Label("t-1", "m-1", 5, 7, is_fraud=True), 0, 17).place
            'labels-0@17'
        """
        return f"{LABELS}-{self.partition}@{self.offset}"


class KnownTransaction(NamedTuple):
    """What the feature log says about a transaction id.

    Attributes:
        merchant_id: of its first row.
        event_time_ms: of its first row, ms since 1970 UTC.
        merchants: of all its rows that were counted; several if the id was used more than once.
    """

    merchant_id: str
    event_time_ms: int
    merchants: frozenset[str]


class Correction(NamedTuple):
    """A label that named another merchant, and the label to send instead."""

    reported: ReportedLabel
    label: Label


def known_transactions(rows: pd.DataFrame) -> dict[str, KnownTransaction]:
    """Give what feature rows say about each transaction id.

    Args:
        rows: ``transaction_id``, ``merchant_id``, ``event_time_ms``, ``log_partition``,
            ``log_offset`` and `ORDERING_COLUMNS` of `training.archive.first_rows`, each partition
            in offset order. Repeats are left out: they were not counted.
    """
    counted = rows[~rows["repeat"].to_numpy(dtype=bool)]
    merchants = counted.groupby("transaction_id")["merchant_id"].agg(frozenset)
    first = counted[is_first_row(counted)]
    return {
        transaction_id: KnownTransaction(merchant_id, int(event_time_ms), merchants[transaction_id])
        for transaction_id, merchant_id, event_time_ms in zip(
            first["transaction_id"], first["merchant_id"], first["event_time_ms"], strict=True
        )
    }


def correction_of(reported: ReportedLabel, known: KnownTransaction) -> Correction | None:
    """Give the correction of a label; None if it names a merchant of its transaction.

    The event time is corrected, too, unless the label was observed before it: such a label would
    be refused.
    """
    label = reported.label
    if label.merchant_id in known.merchants:
        return None
    is_possible = known.event_time_ms <= label.observed_time_ms
    event_time_ms = known.event_time_ms if is_possible else label.event_time_ms
    return Correction(
        reported, replace(label, merchant_id=known.merchant_id, event_time_ms=event_time_ms)
    )


def not_yet_reported(
    corrections: Sequence[Correction], observations: Mapping[tuple[str, str], frozenset[int]]
) -> list[Correction]:
    """Leave out corrections that are in the log already.

    Args:
        corrections: of wrong labels.
        observations: the observed times of the labels that are known, by transaction and merchant.
            A label of the right merchant with the same observed time stands, whatever it says.
    """
    return [
        correction
        for correction in corrections
        if correction.label.observed_time_ms
        not in observations.get(
            (correction.label.transaction_id, correction.label.merchant_id), frozenset()
        )
    ]
