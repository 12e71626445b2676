"""Reads the topics that parity compares, decoded, each to its end and then on from there.

A running system answers a moment later than it is asked. `read_until_answered` therefore goes on
reading while answers are under way, so that live traffic does not look like lost records. Called
by `operations.parity.run`.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final

from clients.kafka_log import read_log
from clients.log_record import Record
from operations.parity.recomputation.audit import LoggedTransactions, Place
from operations.parity.recomputation.merchant_folds import LoggedLabel
from operations.parity.recomputation.transaction_contents import fingerprint
from schemas.codec import decode_label, decode_transaction
from schemas.dead_letter import read_dead_letter
from schemas.errors import InvalidEventError
from schemas.feature_row import FeatureRow
from schemas.output_codec import decode_feature_row
from schemas.topics import DEAD_LETTERS, LABELS, TRANSACTIONS
from schemas.transaction import Limits

PATIENCE_S: Final = 10.0
"""How long parity waits for an answer while none arrives. A batch, a write to Redis and a pause for
a checkpoint take less; after that the answer counts as missing."""
_PAUSE_S: Final = 0.25
_ROW_STAGE: Final = "produce"
"""The stage of a dead letter whose value is a feature row."""
_NO_CLOCK_MS: Final = 0
"""A replay's times are not compared with the clock, and refused records are known already."""


class Patience:
    """Decides how long to wait for answers: as long as they arrive, and `PATIENCE_S` after that."""

    def __init__(
        self,
        limit_s: float = PATIENCE_S,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start without having waited.

        Args:
            limit_s: longest wait, in s, without any progress.
            sleep: waits so many seconds.
            monotonic: the clock that waits are measured with, in s.
        """
        self._limit_s = limit_s
        self._sleep = sleep
        self._monotonic = monotonic
        self._fewest: int | None = None
        self._deadline_s = 0.0

    def is_worth_waiting(self, unanswered: int) -> bool:
        """Wait a little and give True; give False at once if nothing is left to wait for.

        Args:
            unanswered: how many answers have not arrived; if it falls, the wait starts again.
        """
        if unanswered == 0:
            return False
        if self._fewest is None or unanswered < self._fewest:
            self._fewest = unanswered
            self._deadline_s = self._monotonic() + self._limit_s
        if self._monotonic() >= self._deadline_s:
            return False
        self._sleep(_PAUSE_S)
        return True


class LogReader:
    """A topic that is read to its end, and later from there to its new end.

    Attributes:
        ends: by partition, the offset after the last record that was read.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        """Point at a topic; nothing is read yet.

        Args:
            bootstrap: Kafka's address.
            topic: its name.
        """
        self.ends: dict[int, int] = {}
        self._bootstrap = bootstrap
        self._topic = topic

    def read_on(self) -> Iterator[Record]:
        """Read up to where the topic ends now, one partition after the other.

        Raises:
            KafkaUnreachableError: no answer, or the topic is missing.
        """
        for record in read_log(self._bootstrap, self._topic, start=self.ends):
            self.ends[record.partition] = record.offset + 1
            yield record

    def read_until_answered(
        self, unanswered: Callable[[], int], patience: Patience
    ) -> Iterator[Record]:
        """Read to the end, and on from there until nothing is unanswered or patience has run out.

        Args:
            unanswered: how many records are still to come, asked at each end.
            patience: how long to wait for them.
        """
        yield from self.read_on()
        while patience.is_worth_waiting(unanswered()):
            yield from self.read_on()


class RefusedRecords:
    """The places of the records that were refused: those that have a dead letter."""

    def __init__(self, bootstrap: str) -> None:
        """Point at the broker; nothing is read yet."""
        self._reader = LogReader(bootstrap, DEAD_LETTERS)
        self._places: set[tuple[str, int, int]] = set()
        self._rows: dict[Place, FeatureRow] = {}

    @property
    def rows(self) -> list[FeatureRow]:
        """The feature rows that did not fit their topic, unless they were shortened, too."""
        return list(self._rows.values())

    def read_on(self) -> None:
        """Read the dead letters that have arrived since the last call."""
        for record in self._reader.read_on():
            try:
                letter = read_dead_letter(record.headers)
            except ValueError:
                # Another process's record, which refuses nothing.
                continue
            self._places.add((letter.topic, letter.partition, letter.offset))
            if letter.topic == TRANSACTIONS and letter.stage == _ROW_STAGE:
                self._keep_row((letter.partition, letter.offset), record.value)

    def _keep_row(self, place: Place, value: bytes | None) -> None:
        try:
            self._rows[place] = decode_feature_row(value)
        except InvalidEventError:
            # It was shortened.
            return

    def of_topic(self, topic: str) -> set[Place]:
        """Give partition and offset of a topic's refused records."""
        return {(partition, offset) for name, partition, offset in self._places if name == topic}


def list_transactions(bootstrap: str, limits: Limits) -> LoggedTransactions:
    """List what every record of `transactions` says; refused ones are still among them.

    Raises:
        KafkaUnreachableError: no answer.
    """
    reader = LogReader(bootstrap, TRANSACTIONS)
    fingerprints: dict[Place, int] = {}
    for record in reader.read_on():
        try:
            transaction = decode_transaction(
                record.value, limits=limits, now_ms=_NO_CLOCK_MS, is_replay=True
            )
            fingerprints[record.partition, record.offset] = fingerprint(transaction)
        except InvalidEventError:
            # The velocity job answers it with a dead letter, which takes it from the list.
            fingerprints[record.partition, record.offset] = 0
    return LoggedTransactions(fingerprints, reader.ends)


def read_labels(bootstrap: str, limits: Limits, refused: RefusedRecords) -> Iterator[LoggedLabel]:
    """Read all labels that were not refused, with the times at which they reached Kafka.

    Raises:
        KafkaUnreachableError: no answer.
    """
    records = list(LogReader(bootstrap, LABELS).read_on())
    # After the labels, so that the dead letter of each label that was read is known.
    refused.read_on()
    left_out = refused.of_topic(LABELS)
    for record in records:
        if (record.partition, record.offset) in left_out:
            continue
        try:
            label = decode_label(record.value, limits=limits, now_ms=_NO_CLOCK_MS, is_replay=True)
        except InvalidEventError:
            # It arrived just now, and its dead letter is under way.
            continue
        yield LoggedLabel(label, timestamp_ms=record.timestamp_ms)
