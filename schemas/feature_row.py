"""A feature row: a transaction with its features, as of the transaction's own time.

The row that is scored is the row that training reads. Written by ``streams``,
read by ``scoring`` and ``training``; nobody changes it on the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from schemas.fields import NotNegative, Text
from schemas.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the transaction's record stands in its topic."""

    partition: Annotated[NotNegative, "Partition of the topic `transactions`."]
    offset: Annotated[NotNegative, "Offset in that partition."]
    timestamp_ms: Annotated[int, "Kafka's timestamp of that record, ms since 1970 UTC."]


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One transaction and every feature's value for it."""

    transaction: Annotated[Transaction, "The transaction, without unknown fields."]
    features: Annotated[dict[str, int | float | None], "Feature name to value; null: no value."]
    approximate: Annotated[tuple[str, ...], "Names of the features that are not exact."]
    definition_digest: Annotated[Text, "Digest of the definitions these features follow."]
    repeat: Annotated[bool, "True: the transaction_id was seen before and was not counted again."]
    user_sequence: Annotated[NotNegative, "How many events the user's state has taken in."]
    merchant_sequence: Annotated[NotNegative, "How many events the merchant's state has taken in."]
    origin: Annotated[Origin, "The transaction's record."]
    computed_at_ms: Annotated[int, "Clock when the features were computed, ms since 1970 UTC."]
