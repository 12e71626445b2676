"""The audit: recompute every feature from the logged transactions and compare, value by value.

Folds with `features.engine.state`, the code that serves; what it finds is what lies between: a
lost or doubled event, an order that was not kept, state that did not survive, bytes that changed
on the way. Pure; knows no Kafka. Called by the command line with the logs read into iterables.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES, MERCHANT_FEATURES, USER_FEATURES
from features.engine.state import MerchantState, UserState, Values
from features.on_demand import on_demand_features
from operations.parity.recomputed import Recomputed, Value
from schemas.codec import encode_transaction
from schemas.errors import WeirError
from schemas.feature_row import FeatureRow
from schemas.label import Label
from schemas.transaction import Transaction

Place: TypeAlias = tuple[int, int]
"""Partition and offset of a record of `transactions`."""

DIFFERENCES_KEPT: Final = 10

_NOT_YET: Final = "not in its definitions"
_USER_NAMES: Final = tuple(feature.name for feature in USER_FEATURES)
_MERCHANT_NAMES: Final = tuple(feature.name for feature in MERCHANT_FEATURES)
_ON_DEMAND_NAMES: Final = FEATURE_NAMES[len(_USER_NAMES) + len(_MERCHANT_NAMES) :]
_REACH_MS: Final = max(feature.window_ms + feature.delay_ms for feature in MERCHANT_FEATURES)
_DELAY_MS: Final = min(feature.delay_ms for feature in MERCHANT_FEATURES)


class OtherDefinitionsError(WeirError):
    """The log holds rows of other feature definitions than this code's; they do not compare."""


def fingerprint(transaction: Transaction) -> int:
    """Give a number that equal transactions share, in this process only."""
    return hash(encode_transaction(transaction))


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
class Difference:
    """One value that is not what the recomputation gives.

    Attributes:
        transaction_id: of the row.
        feature: its name.
        logged: the feature log's value, or its absence in words.
        recomputed: ours.
    """

    transaction_id: str
    feature: str
    logged: Value | str
    recomputed: Value | str


@dataclass(slots=True)
class ParityReport:
    """What the audit found. All but `checked` and `repeats` should be 0.

    Attributes:
        rows: rows compared.
        checked: values compared.
        mismatched: values, or marks of approximation, that differ.
        raced: values that differ, and a label that should have counted reached Kafka only
            after the row was computed: the reporter was late, not the system. Not in
            `mismatched`.
        missing: valid transactions without a feature row.
        extra: feature rows without a transaction.
        gaps: rows whose user had events before that are not in the log.
        repeats: rows of a transaction that had one before; not compared.
        differences: the first few.
    """

    rows: int = 0
    checked: int = 0
    mismatched: int = 0
    raced: int = 0
    missing: int = 0
    extra: int = 0
    gaps: int = 0
    repeats: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether the logs are what the recomputation gives, apart from late labels."""
        return not (self.mismatched or self.missing or self.extra or self.gaps)


def audit(
    rows: Iterable[FeatureRow],
    *,
    labels: Iterable[LoggedLabel],
    transactions: Mapping[Place, int] | None = None,
    is_compared: Callable[[FeatureRow], bool] = lambda _: True,
    recomputed: Recomputed | None = None,
    is_backfilled: bool = False,
) -> ParityReport:
    """Recompute the features of all rows and compare.

    Users are folded in the order of `user_sequence`: rows of one user may overtake each other
    between the two stages of the job, and rows after a failure repeat earlier ones. Merchants
    are folded in the order of `merchant_sequence`. A label counts from its observed time on, so
    all labels observed by an event's time are folded before it, whenever they arrived.

    Memory: the state of every user, and about 400 bytes a row for the merchants.

    Args:
        rows: the whole feature log, each partition in offset order.
        labels: the whole label log, each partition in offset order.
        transactions: places of all valid records of `transactions`, with the `fingerprint` of
            what each says; None skips missing and extra, and takes the rows' word for the rest.
        is_compared: rows to compare; all are folded.
        recomputed: filled with what was computed for the compared rows, and with the last
            values of all entities. Where a label came late, with the row's own values.
        is_backfilled: rows of other definitions have backfilled rows beside them; of theirs, the
            features that these definitions have, too, are compared.

    Raises:
        OtherDefinitionsError: a row carries another definition digest than this code's, and
            nothing was backfilled.
    """
    audit_run = _Audit(is_compared, recomputed, transactions, is_backfilled=is_backfilled)
    for row in rows:
        audit_run.add(row)
    audit_run.finish_users()
    audit_run.fold_merchants(_by_merchant(labels))
    if transactions is not None:
        audit_run.count_missing(transactions.keys())
    return audit_run.report


@dataclass(frozen=True, slots=True)
class _Visit:
    """What the merchant's side needs of a row."""

    sequence: int
    transaction_id: str
    event_time_ms: int
    computed_at_ms: int
    is_compared: bool
    logged: tuple[Value | str, ...]
    approximate: frozenset[str]


class _User:
    """One user's state and the rows that came before their turn."""

    __slots__ = ("state", "waiting")

    def __init__(self) -> None:
        self.state = UserState()
        self.waiting: dict[int, FeatureRow] = {}


class _Audit:
    """One audit under way; `audit` says in which order to call what."""

    def __init__(
        self,
        is_compared: Callable[[FeatureRow], bool],
        recomputed: Recomputed | None,
        transactions: Mapping[Place, int] | None,
        *,
        is_backfilled: bool,
    ) -> None:
        self.report = ParityReport()
        self._is_compared = is_compared
        self._recomputed = recomputed
        self._is_backfilled = is_backfilled
        self._transactions = {} if transactions is None else transactions
        self._users: dict[str, _User] = defaultdict(_User)
        self._visits: dict[str, list[_Visit]] = defaultdict(list)
        self._origins: set[Place] = set()

    def add(self, row: FeatureRow) -> None:
        """Take the next row of the log; fold it when its user's earlier rows are folded."""
        if row.definition_digest != DEFINITION_DIGEST and not self._is_backfilled:
            raise OtherDefinitionsError(
                f"row of {row.transaction.transaction_id} follows definitions "
                f"{row.definition_digest}, this code {DEFINITION_DIGEST}; run "
                "`weir backfill` first"
            )
        origin = (row.origin.partition, row.origin.offset)
        self._origins.add(origin)
        said = self._transactions.get(origin)
        if said is not None and said != fingerprint(row.transaction):
            self._keep_other_transaction(row)
        user = self._users[row.transaction.user_id]
        # After a failure the job repeats rows, with the sequence they had the first time.
        is_known = row.user_sequence <= user.state.sequence or row.user_sequence in user.waiting
        if row.repeat or is_known:
            self.report.repeats += 1
            return
        user.waiting[row.user_sequence] = row
        self._fold_ready(user)

    def finish_users(self) -> None:
        """Fold the rows whose turn never came, in order: something before them is missing."""
        for user_id, user in self._users.items():
            for sequence in sorted(user.waiting):
                self.report.gaps += 1
                self._fold_user(user, user.waiting[sequence])
            if self._recomputed is not None:
                self._recomputed.add_user(user_id, user.state)
        self._users.clear()

    def fold_merchants(self, labels: Mapping[str, list[LoggedLabel]]) -> None:
        """Fold each merchant's rows with what was observed by then, and compare."""
        # A merchant of labels alone has no row, but a state.
        for merchant_id in {**self._visits, **labels}:
            state = self._fold_merchant(
                self._visits.get(merchant_id, []), labels.get(merchant_id, [])
            )
            if self._recomputed is not None:
                self._recomputed.add_merchant(merchant_id, state)
        self._visits.clear()

    def count_missing(self, transactions: Set[Place]) -> None:
        """Compare the transactions that went in with those that rows came from."""
        self.report.missing = len(transactions - self._origins)
        self.report.extra = len(self._origins - transactions)

    def _keep_other_transaction(self, row: FeatureRow) -> None:
        self.report.mismatched += 1
        if len(self.report.differences) < DIFFERENCES_KEPT:
            place = f"{row.origin.partition}:{row.origin.offset}"
            self.report.differences.append(
                Difference(
                    transaction_id=row.transaction.transaction_id,
                    feature="transaction",
                    logged="another than its record",
                    recomputed=f"the record at {place}",
                )
            )

    def _fold_ready(self, user: _User) -> None:
        while (row := user.waiting.pop(user.state.sequence + 1, None)) is not None:
            self._fold_user(user, row)

    def _fold_user(self, user: _User, row: FeatureRow) -> None:
        transaction = row.transaction
        values = user.state.fold(
            transaction_id=transaction.transaction_id,
            merchant_id=transaction.merchant_id,
            amount_minor=transaction.amount_minor,
            event_time_ms=transaction.event_time_ms,
        )
        is_compared = self._is_compared(row)
        if is_compared:
            self.report.rows += 1
            self._compare(row, values, _USER_NAMES)
            on_demand = Values({**on_demand_features(transaction.event_time_ms)}, (), 0)
            self._compare(row, on_demand, _ON_DEMAND_NAMES)
            if self._recomputed is not None:
                is_old = row.definition_digest != DEFINITION_DIGEST
                self._recomputed.add(transaction, values, on_demand.features, is_old=is_old)
        self._visits[transaction.merchant_id].append(
            _Visit(
                sequence=row.merchant_sequence,
                transaction_id=transaction.transaction_id,
                event_time_ms=transaction.event_time_ms,
                computed_at_ms=row.computed_at_ms,
                is_compared=is_compared,
                logged=_logged(row, _MERCHANT_NAMES) if is_compared else (),
                approximate=frozenset(row.approximate) if row.approximate else frozenset(),
            )
        )

    def _compare(self, row: FeatureRow, values: Values, names: tuple[str, ...]) -> None:
        self.report.mismatched += self._differences(
            row.transaction.transaction_id,
            names,
            logged=_logged(row, names),
            logged_marks=frozenset(row.approximate),
            recomputed=values,
        )

    def _fold_merchant(self, visits: list[_Visit], labels: list[LoggedLabel]) -> MerchantState:
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
                self._compare_visit(visit, values, labels[:folded])
        for logged in labels[folded:]:
            state.fold_label(logged.label)
        return state

    def _compare_visit(self, visit: _Visit, values: Values, labels: list[LoggedLabel]) -> None:
        different = self._differences(
            visit.transaction_id,
            _MERCHANT_NAMES,
            logged=visit.logged,
            logged_marks=visit.approximate,
            recomputed=values,
        )
        is_raced = bool(different) and any(_came_late(logged, visit) for logged in labels)
        if is_raced:
            self.report.raced += different
        else:
            self.report.mismatched += different
        if self._recomputed is not None and is_raced:
            served = dict(zip(_MERCHANT_NAMES, visit.logged, strict=True))
            numbers = {
                name: None if isinstance(value, str) else value for name, value in served.items()
            }
            numbers |= {
                name: values.features[name] for name, value in served.items() if value == _NOT_YET
            }
            marks = visit.approximate & served.keys()
            self._recomputed.complete(visit.transaction_id, numbers, marks)
        elif self._recomputed is not None:
            marks = frozenset(values.approximate)
            self._recomputed.complete(visit.transaction_id, values.features, marks)

    def _differences(
        self,
        transaction_id: str,
        names: tuple[str, ...],
        *,
        logged: tuple[Value | str, ...],
        logged_marks: frozenset[str],
        recomputed: Values,
    ) -> int:
        """Count and keep the values that differ, or are marked approximate on one side only."""
        marks = recomputed.approximate
        different = 0
        for name, value in zip(names, logged, strict=True):
            if value == _NOT_YET:
                continue
            self.report.checked += 1
            ours = recomputed.features[name]
            if value == ours and (name in logged_marks) == (name in marks):
                continue
            different += 1
            if len(self.report.differences) < DIFFERENCES_KEPT:
                self.report.differences.append(
                    Difference(
                        transaction_id=transaction_id,
                        feature=name,
                        logged=_shown(value, is_approximate=name in logged_marks),
                        recomputed=_shown(ours, is_approximate=name in marks),
                    )
                )
        return different


def _by_merchant(labels: Iterable[LoggedLabel]) -> dict[str, list[LoggedLabel]]:
    """Labels of each merchant by observed time; of equal times the later arrival stays later."""
    found: dict[str, list[LoggedLabel]] = defaultdict(list)
    for logged in labels:
        found[logged.label.merchant_id].append(logged)
    for of_merchant in found.values():
        of_merchant.sort(key=lambda logged: logged.label.observed_time_ms)
    return found


def _logged(row: FeatureRow, names: tuple[str, ...]) -> tuple[Value | str, ...]:
    lacking = "absent" if row.definition_digest == DEFINITION_DIGEST else _NOT_YET
    return tuple(row.features.get(name, lacking) for name in names)


def _came_late(logged: LoggedLabel, visit: _Visit) -> bool:
    """Whether a label that the row's windows reach came to Kafka after the row was made."""
    age_ms = visit.event_time_ms - logged.label.event_time_ms
    return logged.timestamp_ms >= visit.computed_at_ms and _DELAY_MS <= age_ms < _REACH_MS


def _shown(value: Value | str, *, is_approximate: bool) -> Value | str:
    return f"{value} (approximate)" if is_approximate else value
