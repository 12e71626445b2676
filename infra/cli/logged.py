"""Reads the logs of a running system for `training.parity`, which knows no Kafka."""

from collections.abc import Callable, Iterator
from typing import Final

from infra.cli.kafka_log import Record, read_log
from schemas.codec import decode_feature_row, decode_label
from schemas.dead_letter import read_dead_letter
from schemas.feature_row import FeatureRow
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS, FEATURES, LABELS, TRANSACTIONS
from schemas.transaction import Limits
from training.parity import LoggedLabel, ParityReport, Place, audit

Refused = set[tuple[str, int, int]]

_NO_CLOCK_MS: Final = 0
"""A replay's times are not compared with the clock, and what was refused is known already."""


def run_parity(
    settings: Settings, *, is_compared: Callable[[FeatureRow], bool] = lambda _: True
) -> ParityReport:
    """Audit the whole feature log against the transactions and labels in Kafka.

    Transactions are listed first and rows read last, so that traffic which goes on meanwhile
    is not reported; what is under way at that moment counts as missing.

    Raises:
        KafkaUnreachableError: no answer.
        OtherDefinitionsError: the log follows other feature definitions.
    """
    bootstrap = settings.kafka_bootstrap
    transactions = _places(bootstrap)
    label_records = list(read_log(bootstrap, LABELS))
    refused = _refused(bootstrap)
    transactions -= {
        (partition, offset) for topic, partition, offset in refused if topic == TRANSACTIONS
    }
    limits = Limits.from_settings(settings)
    return audit(
        (decode_feature_row(record.value) for record in read_log(bootstrap, FEATURES)),
        labels=_labels(label_records, refused, limits),
        transactions=transactions,
        is_compared=is_compared,
    )


def parity_words(settings: Settings) -> str | None:
    """Audit everything; say in words what is not as it should be, None if nothing is.

    Raises:
        KafkaUnreachableError: no answer.
        OtherDefinitionsError: the log follows other feature definitions.
    """
    report = run_parity(settings)
    if report.is_clean:
        return None
    return (
        f"{report.mismatched} of {report.checked} values mismatched, {report.missing} missing, "
        f"{report.extra} extra, {report.gaps} gaps"
    )


def _places(bootstrap: str) -> set[Place]:
    return {(record.partition, record.offset) for record in read_log(bootstrap, TRANSACTIONS)}


def _refused(bootstrap: str) -> Refused:
    letters = (read_dead_letter(record.headers) for record in read_log(bootstrap, DEAD_LETTERS))
    return {(letter.topic, letter.partition, letter.offset) for letter in letters}


def _labels(records: list[Record], refused: Refused, limits: Limits) -> Iterator[LoggedLabel]:
    for record in records:
        if (LABELS, record.partition, record.offset) not in refused:
            label = decode_label(record.value, limits=limits, now_ms=_NO_CLOCK_MS, is_replay=True)
            yield LoggedLabel(label, timestamp_ms=record.timestamp_ms)
