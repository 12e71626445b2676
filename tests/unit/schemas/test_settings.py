"""Settings come from the environment, keep to their limits and describe themselves."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from schemas.settings import Settings, environment_of


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings in the environment of the test run must not change a result."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"WEIR_{name.upper()}", raising=False)


def test_defaults_are_the_documented_ones() -> None:
    settings = Settings()
    assert settings.data_dir == Path(".weir")
    assert settings.currency == "EUR"
    assert settings.amount_minor_max == 10**12
    assert settings.event_time_ms_min == 946_684_800_000  # 2000-01-01T00:00:00Z
    assert settings.event_ahead_ms_max == 5 * 60 * 1_000
    assert (settings.review_threshold, settings.block_threshold) == (0.5, 0.9)
    assert settings.decision_ttl_s == 7 * 24 * 60 * 60


def test_every_setting_says_what_it_is_for() -> None:
    unsaid = [name for name, field in Settings.model_fields.items() if not field.description]
    assert unsaid == []


def test_every_duration_and_size_has_its_unit_in_its_description() -> None:
    units = {"_ms": "ms", "_ms_min": "ms", "_ms_max": "ms", "_s": "seconds"}
    for name, field in Settings.model_fields.items():
        for ending, unit in units.items():
            if name.endswith(ending):
                assert unit in (field.description or ""), name


def test_a_setting_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_CURRENCY", "USD")
    monkeypatch.setenv("WEIR_EVENT_AHEAD_MS_MAX", "0")
    settings = Settings()
    assert (settings.currency, settings.event_ahead_ms_max) == ("USD", 0)


@pytest.mark.parametrize(
    ("port", "address", "expected"),
    [
        ("kafka_port", "kafka_bootstrap", "127.0.0.1:7001"),
        ("redis_port", "redis_url", "redis://127.0.0.1:7001/0"),
        ("mlflow_port", "mlflow_tracking_uri", "http://127.0.0.1:7001"),
        ("flink_rest_port", "flink_rest_url", "http://127.0.0.1:7001"),
    ],
)
def test_an_address_follows_its_port_unless_it_is_set(
    monkeypatch: pytest.MonkeyPatch, port: str, address: str, expected: str
) -> None:
    monkeypatch.setenv(f"WEIR_{port.upper()}", "7001")
    assert getattr(Settings(), address) == expected
    monkeypatch.setenv(f"WEIR_{address.upper()}", "elsewhere:1")
    assert getattr(Settings(), address) == "elsewhere:1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CURRENCY", "eur"),
        ("CURRENCY", "EURO"),
        ("AMOUNT_MINOR_MAX", "0"),
        ("AMOUNT_MINOR_MAX", str(2**53)),
        ("EVENT_AHEAD_MS_MAX", "-1"),
        ("KAFKA_PORT", "0"),
        ("KAFKA_PORT", "65536"),
        ("API_PORT", "http"),
        ("TOPIC_PARTITIONS", "0"),
        ("REVIEW_THRESHOLD", "-0.1"),
        ("BLOCK_THRESHOLD", "1.1"),
        ("SCORER_BATCH_MAX", "0"),
        ("BATCHING_DELAY_MS", "-1"),
        ("MODEL_NAME", "../other"),
        ("FEAST_PROJECT", ""),
        ("REDIS_URL", ""),
    ],
)
def test_a_value_outside_its_limits_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"WEIR_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


@pytest.mark.parametrize("port", [1, 2, 65_534, 65_535])
def test_a_port_on_its_limits_is_accepted(port: int) -> None:
    assert Settings(kafka_port=port).kafka_port == port


def test_review_may_start_where_block_does_but_not_above() -> None:
    assert Settings(review_threshold=0.9, block_threshold=0.9).review_threshold == 0.9
    with pytest.raises(ValidationError, match=r"review_threshold=0.91 is above"):
        Settings(review_threshold=0.91, block_threshold=0.9)


@pytest.mark.parametrize("alias", ["champion", "Champion"])
def test_a_refused_version_cannot_get_the_alias_of_the_champion(alias: str) -> None:
    with pytest.raises(ValidationError, match="a refused version would become champion"):
        Settings(challenger_alias=alias)


def test_settings_cannot_change_once_built() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.currency = "USD"  # type: ignore[misc]


def test_a_child_process_builds_equal_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(kafka_port=19_092, data_dir=Path("/tmp/other"), review_threshold=0.25)
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings
