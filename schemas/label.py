"""A label: a report that a transaction was fraud or was not, with the time of the observation.

For one transaction the latest observation counts. Features may use a label only from its observed
time on, because it was not known before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from schemas.fields import Id, TimeMs


@dataclass(frozen=True, slots=True)
class Label:
    """One fraud report, or its withdrawal."""

    transaction_id: Annotated[Id, "The transaction that the report is about."]
    merchant_id: Annotated[Id, "The merchant of that transaction; the key of the topic."]
    event_time_ms: Annotated[TimeMs, "When the transaction happened, ms since 1970 UTC."]
    observed_time_ms: Annotated[
        TimeMs, "When the report became known, ms since 1970 UTC; not before event_time_ms."
    ]
    is_fraud: Annotated[bool, "True if the transaction was fraud, false if it was not."]
