"""Reports that a transaction was fraud or was not, given its id: the work of `weir label`.

Owns where the merchant and the event time come from: the first decision, while Redis has it, else
the archive.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import redis

from operations.labels.archived import rows_at_times, rows_of
from operations.labels.corrections import KnownTransaction, known_transactions
from operations.labels.send import LabelsTopic, OutgoingLabel, Place
from schemas.codec import check_id
from schemas.decision import Decision
from schemas.errors import WeirError, shown
from schemas.label import Label
from schemas.output_codec import decode_decision
from schemas.settings import Settings
from schemas.topics import HEADER_LABELLED_BY
from scoring.stores.decision_store import decision_key
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
    known, found_in = _find(settings, transaction_id)
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


def _find(settings: Settings, transaction_id: str) -> tuple[KnownTransaction, FoundIn]:
    decision: Decision | None = None
    redis_failure = ""
    try:
        decision = _first_decision(settings, transaction_id)
    except redis.RedisError as error:
        redis_failure = f" (Redis does not answer at {settings.redis_url}: {error!s:.200})"
    if decision is not None and decision.merchant_id is not None:
        known = KnownTransaction(
            decision.merchant_id, decision.event_time_ms, frozenset({decision.merchant_id})
        )
        return known, "first decision"
    archived = _archived(settings, transaction_id, decision)
    if archived is not None:
        return archived, "archive"
    raise UnknownTransactionError(
        f"transaction {shown(transaction_id)} is not known: Redis has no first decision that names "
        f"its merchant{redis_failure}, and the archive at {settings.archive_url} has no row of it. "
        "Nothing was sent. Check the id; `weir archive status` says whether the archive is behind. "
        "To report a transaction that Weir has never seen, send a label with merchant and time to "
        "the topic `labels` (docs/producers.md, section Fraud reports)"
    )


def _first_decision(settings: Settings, transaction_id: str) -> Decision | None:
    with redis.Redis.from_url(
        settings.redis_url, socket_timeout=REDIS_S_MAX, socket_connect_timeout=REDIS_S_MAX
    ) as client:
        value = client.get(decision_key(transaction_id))
    return decode_decision(value) if isinstance(value, bytes) else None


def _archived(
    settings: Settings, transaction_id: str, decision: Decision | None
) -> KnownTransaction | None:
    """Look into the archive; without a decision the event time is not known, so everywhere."""
    ids, url = [transaction_id], settings.archive_url
    try:
        rows = (
            rows_of(url, ids)
            if decision is None
            else rows_at_times(url, ids, times_ms=[decision.event_time_ms])
        )
    except NoArchiveError:
        return None
    return known_transactions(rows).get(transaction_id)
