"""Audits the feature log: recomputes every feature and compares, value by value.

Folds with `features.engine.state`, the code that serves, so it finds faults in between: a lost or
doubled event, an order that was not kept, state that did not survive, bytes that changed on the
way. Pure; knows no Kafka. `operations.parity.run` hands it what was read from the logs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES, MERCHANT_FEATURES, USER_FEATURES
from features.engine.state import MerchantState, UserState, Values
from features.on_demand import on_demand_features
from operations.parity.recomputation.merchant_folds import LoggedLabel, MerchantFolds
from operations.parity.recomputation.recomputed import Recomputed
from operations.parity.recomputation.row_values import count_differences, logged_values
from operations.parity.recomputation.transaction_contents import (
    TransactionContents,
    fingerprint,
    have_same_identity,
)
from operations.parity.recomputation.user_folds import LoggedRow, UserFolds
from operations.parity.report import DIFFERENCES_KEPT, Difference, FeatureLogReport
from schemas.errors import WeirError
from schemas.feature_row import FeatureRow
from schemas.first_row import RowPlace

Place: TypeAlias = tuple[int, int]
"""Partition and offset of a record of `transactions`."""

_NOWHERE: Final = RowPlace(-1, -1, -1)
"""The place of a row that is not in the feature log."""
_USER_NAMES: Final = tuple(feature.name for feature in USER_FEATURES)
_ON_DEMAND_NAMES: Final = FEATURE_NAMES[len(_USER_NAMES) + len(MERCHANT_FEATURES) :]


class OtherDefinitionsError(WeirError):
    """The log holds rows of other feature definitions than this code's; they do not compare."""


@dataclass(frozen=True, slots=True)
class LoggedTransactions:
    """The valid records of `transactions`, as far as they were listed.

    Attributes:
        fingerprints: by place, the `fingerprint` of what the record says.
        ends: by partition, the first offset that was not listed; rows of later transactions are
            compared, but it is not known whether their transaction exists.
    """

    fingerprints: dict[Place, int]
    ends: Mapping[int, int]

    def is_listed(self, place: Place) -> bool:
        """Whether a place is one that the listing reached."""
        partition, offset = place
        return offset < self.ends.get(partition, 0)


class FeatureLogAudit:
    """One audit of the feature log: `take` every row, then `finish`.

    Memory: the state of every user, and about 400 bytes a row for the merchants.
    """

    def __init__(
        self,
        *,
        transactions: LoggedTransactions | None = None,
        is_compared: Callable[[FeatureRow], bool] = lambda _: True,
        recomputed: Recomputed | None = None,
        is_backfilled: bool = False,
    ) -> None:
        """Start with an empty report.

        Args:
            transactions: what went in; None skips missing and extra, and does not compare what
                the rows say of their transactions.
            is_compared: which rows to compare; all are folded.
            recomputed: filled with what was computed for the compared rows, and with the last
                values of all entities. Where a label came late, with the row's own values.
            is_backfilled: rows of other definitions have backfilled rows beside them; of theirs,
                the features that these definitions have, too, are compared.
        """
        self.report = FeatureLogReport()
        self._transactions = transactions
        self._is_compared = is_compared
        self._recomputed = recomputed
        self._is_backfilled = is_backfilled
        self._origins: set[Place] = set()
        self._refused: set[Place] = set()
        self._contents = TransactionContents(self.report)
        self._users = UserFolds(self.report, on_folded=self._compare)
        self._merchants = MerchantFolds(self.report, recomputed)

    def take(self, row: FeatureRow, *, partition: int, offset: int) -> None:
        """Take the next row of the log; each partition in offset order.

        Args:
            row: as decoded.
            partition: where it lies in the feature log.
            offset: where it lies in the partition.

        Raises:
            OtherDefinitionsError: the row carries another definition digest than this code's,
                and nothing was backfilled.
        """
        if row.definition_digest != DEFINITION_DIGEST and not self._is_backfilled:
            raise OtherDefinitionsError(
                f"row of {row.transaction.transaction_id} follows definitions "
                f"{row.definition_digest}, this code {DEFINITION_DIGEST}; run "
                "`weir backfill` first"
            )
        origin = _origin_of(row)
        self._origins.add(origin)
        said = fingerprint(row.transaction)
        if not self._contents.take(row, said):
            self._count_other_content(row, "the first delivery of its id and user")
        elif not self._is_of_record(row, origin, said):
            record = f"the record at {row.origin.partition}:{row.origin.offset}"
            self._count_other_content(row, record)
        self._users.take(LoggedRow(row, RowPlace(partition, offset, row.computed_at_ms)))

    @property
    def unanswered(self) -> int:
        """How many of the listed transactions have no row yet."""
        if self._transactions is None:
            return 0
        return len(self._transactions.fingerprints.keys() - self._origins)

    def finish(
        self, labels: Iterable[LoggedLabel], *, refused: Iterable[FeatureRow] = ()
    ) -> FeatureLogReport:
        """Fold what is left, compare the merchants' side, and give the report.

        Args:
            labels: the whole label log, each partition in offset order; read last, so that it
                holds every label that a row can have seen.
            refused: rows that did not fit their topic. The states have counted their transactions;
                they are folded and not compared.
        """
        refused_at: set[Place] = set()
        for row in refused:
            origin = _origin_of(row)
            refused_at.add(origin)
            if origin not in self._origins and not row.repeat:
                self._refused.add(origin)
                self._users.take(LoggedRow(row, _NOWHERE))
        self._users.finish(self._keep_user)
        self._merchants.finish(labels, self._keep_merchant)
        if self._transactions is not None:
            self.report.missing = self.unanswered
            # A row may be there and refused as well: the job has read its transaction twice.
            unknown = self._origins - self._transactions.fingerprints.keys() - refused_at
            extra = sorted(place for place in unknown if self._transactions.is_listed(place))
            self.report.extra = len(extra)
            missing = sorted(self._transactions.fingerprints.keys() - self._origins)
            for partition, offset in missing[:DIFFERENCES_KEPT]:
                record = f"transactions {partition}:{offset}"
                self.report.keep(Difference(record, "row", "absent", "a row"))
            for partition, offset in extra[:DIFFERENCES_KEPT]:
                record = f"transactions {partition}:{offset}"
                self.report.keep(Difference(record, "row", "a row", "no valid transaction"))
        return self.report

    def _compare(self, logged: LoggedRow, values: Values) -> None:
        """Compare the user's side of a row, and hand the row to the merchant's side."""
        row = logged.row
        position: int | None = None
        is_compared = _origin_of(row) not in self._refused and self._is_compared(row)
        if is_compared:
            self.report.rows += 1
            self._count_mismatches(row, values, _USER_NAMES)
            on_demand = Values({**on_demand_features(row.transaction.event_time_ms)}, (), 0)
            self._count_mismatches(row, on_demand, _ON_DEMAND_NAMES)
            if self._recomputed is not None:
                is_old = row.definition_digest != DEFINITION_DIGEST
                position = self._recomputed.add(
                    row.transaction, values, on_demand.features, place=logged.place, is_old=is_old
                )
        self._merchants.take(row, is_compared=is_compared, position=position)

    def _count_mismatches(self, row: FeatureRow, values: Values, names: tuple[str, ...]) -> None:
        self.report.mismatched += count_differences(
            self.report,
            row.transaction.transaction_id,
            names,
            logged=logged_values(row, names),
            logged_marks=frozenset(row.approximate),
            recomputed=values,
        )

    def _is_of_record(self, row: FeatureRow, origin: Place, said: int) -> bool:
        """Whether a row is about the record that it names: of a repeat, by id and user only."""
        if self._transactions is None:
            return True
        recorded = self._transactions.fingerprints.get(origin, said)
        return have_same_identity(recorded, said) if row.repeat else recorded == said

    def _count_other_content(self, row: FeatureRow, expected: str) -> None:
        self.report.mismatched += 1
        self.report.keep(
            Difference(
                transaction_id=row.transaction.transaction_id,
                feature="transaction",
                logged="another content",
                recomputed=expected,
            )
        )

    def _keep_user(self, user_id: str, state: UserState) -> None:
        if self._recomputed is not None:
            self._recomputed.add_user(user_id, state)

    def _keep_merchant(self, merchant_id: str, state: MerchantState) -> None:
        if self._recomputed is not None:
            self._recomputed.add_merchant(merchant_id, state)


def _origin_of(row: FeatureRow) -> Place:
    return row.origin.partition, row.origin.offset
