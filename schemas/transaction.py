"""A transaction: what a producer sends, and the limits of one deployment.

Owns the fields and their meaning. ``schemas/codec.py`` reads a transaction from bytes and is the
only place that refuses one, so every ``Transaction`` object is valid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from schemas.fields import CountryCode, CurrencyCode, DeviceType, Id, NotNegative, TimeMs

if TYPE_CHECKING:
    # Only for the type checker, so that the Flink operators do not load pydantic.
    from schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class Transaction:
    """One payment of one user to one merchant."""

    transaction_id: Annotated[Id, "Identity of the transaction; a repeat gets the first decision."]
    user_id: Annotated[Id, "Who pays; the key of the topic."]
    merchant_id: Annotated[Id, "Who is paid."]
    amount_minor: Annotated[
        NotNegative, "Amount in minor units (cents), up to WEIR_AMOUNT_MINOR_MAX."
    ]
    currency: Annotated[CurrencyCode, "ISO 4217; must be the deployment's WEIR_CURRENCY."]
    event_time_ms: Annotated[
        TimeMs, "When the payment happened, ms since 1970 UTC, not before WEIR_EVENT_TIME_MS_MIN."
    ]
    device_type: Annotated[
        DeviceType | None, "Device of the payment, as the producer names it."
    ] = None
    ip_country: Annotated[CountryCode | None, "Country of the IP address, ISO 3166-1 alpha-2."] = (
        None
    )

    def to_wire(self) -> dict[str, str | int]:
        """Give the JSON object: fields in the order of the class, without those that are None."""
        wire: dict[str, str | int] = {
            "transaction_id": self.transaction_id,
            "user_id": self.user_id,
            "merchant_id": self.merchant_id,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "event_time_ms": self.event_time_ms,
        }
        if self.device_type is not None:
            wire["device_type"] = self.device_type
        if self.ip_country is not None:
            wire["ip_country"] = self.ip_country
        return wire


@dataclass(frozen=True, slots=True)
class Limits:
    """What one deployment accepts; see the settings of the same names.

    Attributes:
        currency: the one settlement currency, ISO 4217.
        amount_minor_max: largest amount that is accepted, minor units.
        event_time_ms_min: earliest event time that is accepted, ms since 1970 UTC.
        event_ahead_ms_max: largest time ahead of the clock that is accepted, ms, unless the record
            belongs to a replay.
        replay_ahead_ms_max: largest time of a replayed transaction ahead of Kafka's timestamp of
            its record that is accepted, ms.
    """

    currency: str = "EUR"
    amount_minor_max: int = 10**12
    event_time_ms_min: int = 946_684_800_000
    event_ahead_ms_max: int = 300_000
    replay_ahead_ms_max: int = 86_400_000

    @classmethod
    def from_settings(cls, settings: Settings) -> Limits:
        """Take the five limits out of the settings."""
        return cls(
            currency=settings.currency,
            amount_minor_max=settings.amount_minor_max,
            event_time_ms_min=settings.event_time_ms_min,
            event_ahead_ms_max=settings.event_ahead_ms_max,
            replay_ahead_ms_max=settings.replay_ahead_ms_max,
        )
