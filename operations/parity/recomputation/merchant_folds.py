"""Folds each merchant's transactions and labels again, and compares the merchant features.

Merchants are folded in the order of `merchant_sequence`. A label counts from its observed time on,
so all labels observed by an event's time are folded before it, whenever they arrived. Called by
`audit` once all rows are read.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from features.definitions import MERCHANT_FEATURES
from features.engine.state import MerchantState, Values
from operations.parity.recomputation.recomputed import Recomputed
from operations.parity.recomputation.row_values import (
    NOT_IN_ITS_DEFINITIONS,
    count_differences,
    logged_values,
)
from operations.parity.report import FeatureLogReport, Value
from schemas.feature_row import FeatureRow
from schemas.label import Label

_NAMES: Final = tuple(feature.name for feature in MERCHANT_FEATURES)
_REACH_MS: Final = max(feature.window_ms + feature.delay_ms for feature in MERCHANT_FEATURES)
_DELAY_MS: Final = min(feature.delay_ms for feature in MERCHANT_FEATURES)


@dataclass(frozen=True, slots=True)
class LoggedLabel:
    """A label and when it reached Kafka.

    Attributes:
        label: as decoded.
        timestamp_ms: of its record, ms since 1970 UTC.
    """

    label: Label
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class _Visit:
    """The part of a row that the merchant's side needs."""

    sequence: int
    transaction_id: str
    event_time_ms: int
    computed_at_ms: int
    is_compared: bool
    position: int | None
    logged: tuple[Value | str, ...]
    approximate: frozenset[str]


class MerchantFolds:
    """The rows of each merchant, kept until all of them are known."""

    def __init__(self, report: FeatureLogReport, recomputed: Recomputed | None) -> None:
        """Start without any merchant.

        Args:
            report: told what differs.
            recomputed: told what was recomputed; None if it is not needed.
        """
        self._report = report
        self._recomputed = recomputed
        self._visits: dict[str, list[_Visit]] = defaultdict(list)

    def take(self, row: FeatureRow, *, is_compared: bool, position: int | None) -> None:
        """Keep what the merchant's side needs of a row; all rows are folded.

        Args:
            row: the next row.
            is_compared: whether its values are compared.
            position: of the row in the result of the recomputation; None if it is not there.
        """
        transaction = row.transaction
        self._visits[transaction.merchant_id].append(
            _Visit(
                sequence=row.merchant_sequence,
                transaction_id=transaction.transaction_id,
                event_time_ms=transaction.event_time_ms,
                computed_at_ms=row.computed_at_ms,
                is_compared=is_compared,
                position=position,
                logged=logged_values(row, _NAMES) if is_compared else (),
                approximate=frozenset(row.approximate) if row.approximate else frozenset(),
            )
        )

    def finish(
        self, labels: Iterable[LoggedLabel], on_state: Callable[[str, MerchantState], None]
    ) -> None:
        """Fold each merchant's rows and labels, and compare.

        Args:
            labels: the whole label log, each partition in offset order.
            on_state: told of each merchant's state after its last row and label.
        """
        by_merchant = _by_merchant(labels)
        # A merchant that has only labels has no row, but a state.
        for merchant_id in {**self._visits, **by_merchant}:
            state = self._fold(self._visits.get(merchant_id, []), by_merchant.get(merchant_id, []))
            on_state(merchant_id, state)
        self._visits.clear()

    def _fold(self, visits: list[_Visit], labels: list[LoggedLabel]) -> MerchantState:
        state = MerchantState()
        folded = 0
        for visit in sorted(visits, key=lambda visit: visit.sequence):
            while (
                folded < len(labels)
                and labels[folded].label.observed_time_ms <= visit.event_time_ms
            ):
                state.fold_label(labels[folded].label)
                folded += 1
            values = state.fold_transaction(
                transaction_id=visit.transaction_id,
                event_time_ms=visit.event_time_ms,
                is_repeat=False,
            )
            if visit.is_compared:
                self._compare(visit, values, labels[:folded])
        for logged in labels[folded:]:
            state.fold_label(logged.label)
        return state

    def _compare(self, visit: _Visit, values: Values, labels: list[LoggedLabel]) -> None:
        different = count_differences(
            self._report,
            visit.transaction_id,
            _NAMES,
            logged=visit.logged,
            logged_marks=visit.approximate,
            recomputed=values,
        )
        met_late_label = bool(different) and any(_came_late(logged, visit) for logged in labels)
        if met_late_label:
            self._report.late_labels += different
        else:
            self._report.mismatched += different
        if self._recomputed is None or visit.position is None:
            return
        if met_late_label:
            # The copies of this row must say what the row says, not what is known now.
            features = _served_features(visit, values)
            marks = visit.approximate & features.keys()
            self._recomputed.complete(visit.position, features, marks)
        else:
            marks = frozenset(values.approximate)
            self._recomputed.complete(visit.position, values.features, marks)


def _served_features(visit: _Visit, values: Values) -> dict[str, Value]:
    """The row's own values; the recomputed ones where its older definitions had none."""
    served: dict[str, Value] = {}
    for name, value in zip(_NAMES, visit.logged, strict=True):
        if value == NOT_IN_ITS_DEFINITIONS:
            served[name] = values.features[name]
        else:
            served[name] = None if isinstance(value, str) else value
    return served


def _by_merchant(labels: Iterable[LoggedLabel]) -> dict[str, list[LoggedLabel]]:
    """Labels of each merchant by observed time; of equal times the later arrival stays later."""
    found: dict[str, list[LoggedLabel]] = defaultdict(list)
    for logged in labels:
        found[logged.label.merchant_id].append(logged)
    for of_merchant in found.values():
        of_merchant.sort(key=lambda logged: logged.label.observed_time_ms)
    return found


def _came_late(logged: LoggedLabel, visit: _Visit) -> bool:
    """Whether a label that the row's windows reach came to Kafka after the row was computed."""
    age_ms = visit.event_time_ms - logged.label.event_time_ms
    return logged.timestamp_ms >= visit.computed_at_ms and _DELAY_MS <= age_ms < _REACH_MS
