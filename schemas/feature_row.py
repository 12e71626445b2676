"""A feature row: a transaction with its features, as of the transaction's own time.

The row that is scored is the row that training reads. Written by ``streams``, read by ``scoring``
and ``training``; no stage between them changes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from schemas.fields import NotNegative, Text
from schemas.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Origin:
    """The place of the transaction's record in its topic."""

    partition: Annotated[NotNegative, "Partition of the topic `transactions`."]
    offset: Annotated[NotNegative, "Offset in that partition."]
    timestamp_ms: Annotated[int, "Kafka's timestamp of that record, ms since 1970 UTC."]


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One transaction and every feature's value for it."""

    transaction: Annotated[Transaction, "The transaction, without unknown fields."]
    features: Annotated[
        dict[str, int | float | None], "Value of each feature by name; null if it has no value."
    ]
    approximate: Annotated[tuple[str, ...], "Names of the features whose values are not exact."]
    definition_digest: Annotated[Text, "Digest of the definitions of these features."]
    repeat: Annotated[bool, "True if the transaction_id was seen before and was not counted again."]
    user_sequence: Annotated[NotNegative, "Number of transactions folded into the user's state."]
    merchant_sequence: Annotated[
        NotNegative, "Number of transactions and labels folded into the merchant's state."
    ]
    origin: Annotated[Origin, "The place of the transaction's record."]
    computed_at_ms: Annotated[
        int, "Clock of the velocity job at the computation, ms since 1970 UTC."
    ]
