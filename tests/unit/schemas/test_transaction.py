"""A transaction's JSON object, and the limits of a deployment."""

from schemas.settings import Settings
from schemas.transaction import Limits, Transaction
from tests.builders import TRANSACTION, transaction


def test_the_wire_has_the_fields_in_their_order() -> None:
    assert list(TRANSACTION.to_wire()) == list(Transaction.__slots__)
    assert Transaction(**TRANSACTION.to_wire()) == TRANSACTION  # type: ignore[arg-type]


def test_each_optional_field_is_left_out_by_itself() -> None:
    assert "device_type" not in transaction(device_type=None).to_wire()
    assert "ip_country" in transaction(device_type=None).to_wire()
    assert "ip_country" not in transaction(ip_country=None).to_wire()


def test_limits_are_those_of_the_settings() -> None:
    settings = Settings(
        currency="CHF",
        amount_minor_max=7,
        event_time_ms_min=8,
        event_ahead_ms_max=9,
        replay_ahead_ms_max=10,
    )
    assert Limits.from_settings(settings) == Limits("CHF", 7, 8, 9, 10)


def test_limits_and_settings_have_the_same_defaults() -> None:
    for name in Limits.__slots__:
        assert getattr(Limits(), name) == Settings.model_fields[name].default
