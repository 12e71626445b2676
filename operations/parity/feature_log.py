"""Reads the feature log of a running system and compares it with its recomputation.

The order of reading matters while traffic goes on: first the transactions, then the rows that
answer them, last the labels that those rows may have seen. Called by `run` and by the demo.
"""

from collections.abc import Callable, Mapping, Set

from features.definitions import DEFINITION_DIGEST, Entity
from operations.parity.recomputation.audit import FeatureLogAudit
from operations.parity.recomputation.recomputed import Recomputed
from operations.parity.report import FeatureLogReport
from operations.parity.sources.logs import (
    LogReader,
    Patience,
    RefusedRecords,
    list_transactions,
    read_labels,
)
from schemas.feature_row import FeatureRow
from schemas.output_codec import decode_feature_row
from schemas.settings import Settings
from schemas.topics import FEATURES, TRANSACTIONS
from schemas.transaction import Limits
from training.archive.backfill_status import backfill_status


class FeatureLogComparison:
    """One comparison of the whole feature log with the transactions and labels in Kafka."""

    def __init__(
        self,
        settings: Settings,
        *,
        is_compared: Callable[[FeatureRow], bool] = lambda _: True,
        recomputed: Recomputed | None = None,
    ) -> None:
        """Say what to compare; nothing is read yet.

        Args:
            settings: where Kafka and the archive are.
            is_compared: which rows to compare; all are folded.
            recomputed: filled with the result of the recomputation, for the other surfaces.
        """
        self._settings = settings
        self._limits = Limits.from_settings(settings)
        self._is_compared = is_compared
        self._recomputed = recomputed
        self._rows = LogReader(settings.kafka_bootstrap, FEATURES)
        self._refused = RefusedRecords(settings.kafka_bootstrap)
        self._appeared: dict[Entity, set[str]] = {"user": set(), "merchant": set()}

    @property
    def ends(self) -> Mapping[int, int]:
        """By partition of the feature log, the offset after the last row that was read."""
        return self._rows.ends

    def run(self) -> FeatureLogReport:
        """Read, recompute and compare; wait for rows that are under way.

        Raises:
            KafkaUnreachableError: no answer.
            OtherDefinitionsError: the log follows other feature definitions.
        """
        bootstrap = self._settings.kafka_bootstrap
        transactions = list_transactions(bootstrap, self._limits)
        audit = FeatureLogAudit(
            transactions=transactions,
            is_compared=self._is_compared,
            recomputed=self._recomputed,
            is_backfilled=_is_backfilled(self._settings),
        )

        def unanswered() -> int:
            self._refused.read_on()
            for place in self._refused.of_topic(TRANSACTIONS):
                transactions.fingerprints.pop(place, None)
            return audit.unanswered

        # Before the rows, so that none is compared with a record that was refused.
        unanswered()
        for record in self._rows.read_until_answered(unanswered, Patience()):
            row = decode_feature_row(record.value)
            audit.take(row, partition=record.partition, offset=record.offset)
        labels = read_labels(bootstrap, self._limits, self._refused)
        return audit.finish(labels, refused=self._refused.rows)

    def appeared_since(self, entity: Entity) -> Set[str]:
        """Read the logs on, and give the users or merchants of what has arrived since `run`."""
        users, merchants = self._appeared["user"], self._appeared["merchant"]
        for record in self._rows.read_on():
            transaction = decode_feature_row(record.value).transaction
            users.add(transaction.user_id)
            merchants.add(transaction.merchant_id)
        if entity == "merchant":
            labels = read_labels(self._settings.kafka_bootstrap, self._limits, self._refused)
            merchants.update(logged.label.merchant_id for logged in labels)
        return self._appeared[entity]


def _is_backfilled(settings: Settings) -> bool:
    status = backfill_status(settings.archive_url)
    return status is not None and status.definition_digest == DEFINITION_DIGEST
