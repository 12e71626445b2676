"""Reports that a transaction was fraud or was not, given its id: the work of `weir label`.

Owns where the merchant and the event time come from: the first decision, while Redis has it, else
the archive.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import redis

from operations.labels.archived import rows_of
from operations.labels.corrections import KnownTransaction, known_transactions
from operations.labels.send import LabelsTopic, OutgoingLabel, Place
from schemas.codec import check_id
from schemas.errors import WeirError, shown
from schemas.label import Label
from schemas.output_codec import decode_feature_row
from schemas.settings import Settings
from schemas.topics import FEATURES, HEADER_LABELLED_BY
from schemas.transaction import Transaction
from scoring.stores.feature_log import KafkaFeatureLog
from scoring.stores.first_decisions import first_of
from scoring.stores.kept_decisions import day_keys, id_digest
from training.errors import NoArchiveError

SOURCE: Final = "/weir/cli"
REDIS_S_MAX: Final = 5.0
"""Longest wait for Redis, s."""

FoundIn = Literal["first decision", "archive"]


class UnknownTransactionError(WeirError):
    """No transaction with the given id is known, so its merchant and time are not known either."""


class SentLabel(NamedTuple):
    """A label that was sent.

    Attributes:
        label: as it was sent.
        place: where it is in the topic `labels`.
        found_in: where the merchant and the event time come from.
    """

    label: Label
    place: Place
    found_in: FoundIn


def report(
    settings: Settings, transaction_id: str, *, is_fraud: bool, labelled_by: str, now_ms: int
) -> SentLabel:
    """Send a label of a transaction, observed now.

    Delivery: at least once; a repeat of a label changes nothing.

    Args:
        settings: where Kafka, Redis and the archive are.
        transaction_id: the transaction that the label is about.
        is_fraud: whether it was fraud.
        labelled_by: who says so; becomes the header `HEADER_LABELLED_BY`.
        now_ms: the clock, ms since 1970 UTC.

    Raises:
        InvalidEventError: the id or the name is empty, too long, or has control characters.
        UnknownTransactionError: no such transaction is known; nothing was sent.
        KafkaUnreachableError: Kafka does not answer.
        ArchiveUnreachableError: the storage of the archive failed.
    """
    check_id(transaction_id, field="transaction_id")
    check_id(labelled_by, field="--by")
    known, found_in = _find(settings, transaction_id, now_ms=now_ms)
    label = Label(
        transaction_id=transaction_id,
        merchant_id=known.merchant_id,
        event_time_ms=known.event_time_ms,
        # A producer's clock may be a little ahead.
        observed_time_ms=max(now_ms, known.event_time_ms),
        is_fraud=is_fraud,
    )
    headers = ((HEADER_LABELLED_BY, labelled_by.encode()),)
    topic = LabelsTopic(settings.kafka_bootstrap)
    (place,) = topic.send([OutgoingLabel(label, SOURCE, headers)], now_ms=now_ms)
    return SentLabel(label, place, found_in)


def _find(
    settings: Settings, transaction_id: str, *, now_ms: int
) -> tuple[KnownTransaction, FoundIn]:
    redis_failure = ""
    try:
        first = _decided(settings, transaction_id, now_s=now_ms // 1_000)
    except redis.RedisError as error:
        first = None
        redis_failure = f" (Redis does not answer at {settings.redis_url}: {error!s:.200})"
    if first is not None:
        merchant_id = first.merchant_id
        known = KnownTransaction(merchant_id, first.event_time_ms, frozenset({merchant_id}))
        return known, "first decision"
    archived = _archived(settings, transaction_id)
    if archived is not None:
        return archived, "archive"
    raise UnknownTransactionError(
        f"transaction {shown(transaction_id)} is not known: Redis has no first decision of it "
        f"whose row the feature log gives{redis_failure}, and the archive at "
        f"{settings.archive_url} has no row of it. Nothing was sent. Check the id; "
        "`weir archive status` says whether the archive is behind. To report a transaction that "
        "Weir has never seen, send a label with merchant and time to the topic `labels` "
        "(docs/producers.md, section Fraud reports)"
    )


def _decided(settings: Settings, transaction_id: str, *, now_s: int) -> Transaction | None:
    """Give the transaction as it was decided on first; None if that is not known any more."""
    with (
        redis.Redis.from_url(
            settings.redis_url, socket_timeout=REDIS_S_MAX, socket_connect_timeout=REDIS_S_MAX
        ) as client,
        client.pipeline(transaction=False) as pipeline,
    ):
        for key in day_keys(now_s, ttl_s=settings.decision_ttl_s):
            pipeline.hget(key, id_digest(transaction_id.encode()))
        first = first_of(pipeline.execute())
    if first is None:
        return None
    log = KafkaFeatureLog(bootstrap=settings.kafka_bootstrap, topic=FEATURES)
    row = log.read_now([first.place]).get(first.place)
    log.close()
    return None if row is None else decode_feature_row(row).transaction


def _archived(settings: Settings, transaction_id: str) -> KnownTransaction | None:
    """Look into the whole archive: the event time is not known."""
    try:
        rows = rows_of(settings.archive_url, [transaction_id])
    except NoArchiveError:
        return None
    return known_transactions(rows).get(transaction_id)
