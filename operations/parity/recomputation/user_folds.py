"""Folds the feature rows of each user again, in the order in which the job folded them.

Rows of one user may overtake each other between the two stages of the job, and rows after a
failure repeat earlier ones; `user_sequence` says which row is next. Called by `audit`.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from features.engine.state import UserState, Values
from operations.parity.report import Difference, FeatureLogReport
from schemas.feature_row import FeatureRow
from schemas.first_row import RowPlace


class LoggedRow(NamedTuple):
    """A feature row and where it lies in the feature log."""

    row: FeatureRow
    place: RowPlace


class _User:
    """One user's state, and the rows that arrived before their turn."""

    __slots__ = ("state", "waiting")

    def __init__(self) -> None:
        self.state = UserState()
        self.waiting: dict[int, LoggedRow] = {}


class UserFolds:
    """The states of all users while the feature log is read."""

    def __init__(
        self, report: FeatureLogReport, *, on_folded: Callable[[LoggedRow, Values], None]
    ) -> None:
        """Start without any user.

        Args:
            report: told of repeats and gaps.
            on_folded: told of each row, in the order of its user, with the recomputed values.
        """
        self._report = report
        self._on_folded = on_folded
        self._users: dict[str, _User] = defaultdict(_User)

    def take(self, logged: LoggedRow) -> None:
        """Take the next row of the log; fold it once its user's earlier rows are folded."""
        row = logged.row
        user = self._users[row.transaction.user_id]
        # After a failure the job repeats rows, with the sequence they had the first time.
        is_known = row.user_sequence <= user.state.sequence or row.user_sequence in user.waiting
        if row.repeat or is_known:
            self._report.repeats += 1
            return
        user.waiting[row.user_sequence] = logged
        while (following := user.waiting.pop(user.state.sequence + 1, None)) is not None:
            self._fold(user, following)

    def finish(self, on_state: Callable[[str, UserState], None]) -> None:
        """Fold the rows whose turn never came, in order: a row before them is missing.

        Args:
            on_state: told of each user's state after its last row.
        """
        for user_id, user in self._users.items():
            for sequence in sorted(user.waiting):
                self._report.gaps += 1
                logged = user.waiting[sequence]
                transaction_id = logged.row.transaction.transaction_id
                self._report.keep(
                    Difference(transaction_id, "user_sequence", sequence, user.state.sequence + 1)
                )
                self._fold(user, logged)
            on_state(user_id, user.state)
        self._users.clear()

    def _fold(self, user: _User, logged: LoggedRow) -> None:
        transaction = logged.row.transaction
        values = user.state.fold(
            transaction_id=transaction.transaction_id,
            merchant_id=transaction.merchant_id,
            amount_minor=transaction.amount_minor,
            event_time_ms=transaction.event_time_ms,
        )
        self._on_folded(logged, values)
