"""What the event itself tells, against the calendar of the standard library."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.definitions import ON_DEMAND_FEATURES
from features.on_demand import on_demand_features

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.integers(-(10**13), 10**14))
def test_the_calendar_is_that_of_utc(event_time_ms: int) -> None:
    moment = EPOCH + timedelta(milliseconds=event_time_ms)
    assert on_demand_features(event_time_ms) == {
        "hour_of_day": moment.hour,
        "is_weekend": int(moment.isoweekday() in (6, 7)),
        "is_night": int(moment.hour <= 6),
    }


#   Friday 23:59:59.999 | Saturday ... Sunday 23:59:59.999 | Monday
@pytest.mark.parametrize(
    ("moment", "is_weekend"),
    [
        ("2018-04-06T23:59:59.999", 0),
        ("2018-04-07T00:00:00.000", 1),
        ("2018-04-08T23:59:59.999", 1),
        ("2018-04-09T00:00:00.000", 0),
    ],
)
def test_the_weekend_is_saturday_and_sunday(moment: str, is_weekend: int) -> None:
    event_time = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    event_time_ms = (event_time - EPOCH) // timedelta(milliseconds=1)
    assert on_demand_features(event_time_ms)["is_weekend"] == is_weekend


def test_what_is_computed_is_what_is_defined() -> None:
    assert list(on_demand_features(0)) == [feature.name for feature in ON_DEMAND_FEATURES]
