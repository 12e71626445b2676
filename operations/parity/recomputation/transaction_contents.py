"""What each transaction id has said, while the feature log is read.

Finds ids that two users have used: the mistake of a producer, not of the system. Each user's
features are right all the same; there is one decision for the id. Checks that the row of a repeat
says what a counted row of its id and user said. Called by `audit`. Memory: 8 bytes and an entry of
a dictionary for each transaction.
"""

from typing import Final

from operations.parity.report import FeatureLogReport
from schemas.codec import encode_transaction
from schemas.feature_row import FeatureRow
from schemas.transaction import Transaction

_HALF: Final = 32


def fingerprint(transaction: Transaction) -> int:
    """Give 64 bits that equal transactions share, in this process only.

    The upper half is shared by all transactions of the same id and user.
    """
    identity = hash((transaction.transaction_id, transaction.user_id)) % (1 << _HALF)
    content = hash(encode_transaction(transaction)) % (1 << _HALF)
    return identity << _HALF | content


def have_same_identity(one: int, other: int) -> bool:
    """Whether two fingerprints are of one id and one user."""
    return one >> _HALF == other >> _HALF


class TransactionContents:
    """The contents of each transaction id."""

    def __init__(self, report: FeatureLogReport) -> None:
        """Start without any transaction.

        Args:
            report: told of ids that two users have used.
        """
        self._report = report
        self._first: dict[str, int] = {}
        self._others: dict[str, set[int]] = {}

    def take(self, row: FeatureRow, said: int) -> bool:
        """Take the next row of the log.

        Args:
            row: the row.
            said: the fingerprint of its transaction.

        Returns:
            Whether it says what it may: the row of a repeat what an earlier counted row of its id
            and user said, unless there is none.
        """
        transaction_id = row.transaction.transaction_id
        first = self._first.setdefault(transaction_id, said)
        if first == said:
            return True
        if not have_same_identity(first, said):
            self._report.conflicting_ids.add(transaction_id)
        known = {first} | self._others.get(transaction_id, set())
        if row.repeat:
            of_user = {one for one in known if have_same_identity(one, said)}
            return not of_user or said in of_user
        if said not in known:
            self._others[transaction_id] = known | {said}
        return True
