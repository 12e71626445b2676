"""Names, order and digest of the features."""

from __future__ import annotations

import subprocess
import sys

import pytest

from features import definitions
from features.definitions import (
    CAPS,
    DAY_MS,
    FEATURE_NAMES,
    MERCHANT_FEATURES,
    Caps,
    Velocity,
    duration_name,
)

ALL_NAMES = (
    *(f"user_transaction_count_{window}" for window in ("5m", "1h", "1d", "7d", "30d")),
    *(f"user_amount_sum_{window}" for window in ("5m", "1h", "1d", "7d", "30d")),
    *(f"user_amount_mean_{window}" for window in ("5m", "1h", "1d", "7d", "30d")),
    "user_merchant_distinct_5m",
    "user_merchant_distinct_1d",
    *(f"merchant_transaction_count_{window}_delay_7d" for window in ("1d", "7d", "30d")),
    *(f"merchant_fraud_rate_{window}_delay_7d" for window in ("1d", "7d", "30d")),
    "hour_of_day",
    "is_weekend",
    "is_night",
)


def test_the_names_are_those_of_the_contract_in_the_order_of_the_wire() -> None:
    assert FEATURE_NAMES == ALL_NAMES


def test_names_are_unique() -> None:
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)


def test_every_merchant_feature_is_delayed_by_a_week() -> None:
    assert {feature.delay_ms for feature in definitions.MERCHANT_FEATURES} == {7 * DAY_MS}


def test_only_means_and_rates_are_not_whole_numbers() -> None:
    features = (*definitions.USER_FEATURES, *definitions.MERCHANT_FEATURES)
    doubles = {feature.name for feature in features if feature.value_type == "double"}
    assert doubles == {name for name in ALL_NAMES if "_mean_" in name or "_rate_" in name}
    assert {feature.value_type for feature in definitions.ON_DEMAND_FEATURES} == {"int64"}


def test_the_digest_is_the_same_in_every_process() -> None:
    program = "from features.definitions import DEFINITION_DIGEST; print(DEFINITION_DIGEST)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": ".", "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert digests == {definitions.DEFINITION_DIGEST}
    assert len(definitions.DEFINITION_DIGEST) == 16


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("CAPS", Caps(events_max=16_383)),
        ("LATENESS_MS", DAY_MS + 1),
        ("IDENTITY_MS", DAY_MS + 1),
        ("LABEL_WAIT_MS", DAY_MS),
        ("TILES_PER_WINDOW", 65),
        ("USER_FEATURES", definitions.USER_FEATURES[:-1]),
        ("MERCHANT_FEATURES", definitions.MERCHANT_FEATURES[::-1]),
        ("ON_DEMAND_FEATURES", ()),
    ],
)
def test_a_change_of_anything_a_value_depends_on_changes_the_digest(
    monkeypatch: pytest.MonkeyPatch, name: str, changed: object
) -> None:
    monkeypatch.setattr(definitions, name, changed)
    assert definitions._digest() != definitions.DEFINITION_DIGEST


@pytest.mark.parametrize("duration_ms", [0, -1])
def test_a_duration_that_is_not_positive_has_no_name(duration_ms: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        duration_name(duration_ms)


def test_the_last_days_of_a_merchant_change_none_of_its_features() -> None:
    # The job brings a merchant's state online some seconds late because of this.
    assert all(feature.delay_ms >= DAY_MS for feature in MERCHANT_FEATURES)


def test_an_aggregate_of_the_wrong_quantity_is_refused() -> None:
    with pytest.raises(ValueError, match="no aggregate 'mean' of quantity 'merchant'"):
        Velocity("user", "merchant", "mean", DAY_MS)


@pytest.mark.parametrize(("window_ms", "delay_ms"), [(63, 0), (0, 0), (-1, 0), (DAY_MS, -1)])
def test_a_window_too_short_for_tiles_or_a_negative_delay_is_refused(
    window_ms: int, delay_ms: int
) -> None:
    with pytest.raises(ValueError, match="window_ms"):
        Velocity("user", "transaction", "count", window_ms, delay_ms)


@pytest.mark.parametrize("cap", CAPS.__dataclass_fields__)
def test_a_cap_that_would_keep_nothing_is_refused(cap: str) -> None:
    with pytest.raises(ValueError, match="at least"):
        Caps(**{cap: 0})
