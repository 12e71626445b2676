"""Finds transaction ids that two users have used: the mistake of a producer, not of the system.

Each user's features are right all the same. There is one decision for the id, so only one of the
two transactions has a decision of its own. Called by `audit`. Memory: 8 bytes and an entry of a
dictionary for each transaction.
"""

from operations.parity.report import FeatureLogReport
from schemas.transaction import Transaction


class TransactionUsers:
    """The user of each transaction id, while the feature log is read."""

    def __init__(self, report: FeatureLogReport) -> None:
        """Start without any transaction.

        Args:
            report: told of conflicting ids.
        """
        self._report = report
        self._users: dict[str, int] = {}

    def take(self, transaction: Transaction) -> None:
        """Take the transaction of the next row; report its id once if it has another user."""
        user = hash(transaction.user_id)
        known = self._users.setdefault(transaction.transaction_id, user)
        if known != user:
            self._report.conflicting_ids.add(transaction.transaction_id)
