"""Features computed from the event alone: no state, no window.

The calendar is in UTC and is computed from the milliseconds, without time zones and datetime
objects. Text of the event (device type, country) is encoded by the model, in ``models/encoding``.
Called by the velocity job and by ad-hoc scoring.
"""

from __future__ import annotations

from features.definitions import DAY_MS, HOUR_MS

NIGHT_HOUR_MAX = 6
"""The last hour that counts as night."""

_SATURDAY = 5
_WEEKDAY_OF_1970_01_01 = 3  # A Thursday; Monday is 0.


def on_demand_features(event_time_ms: int) -> dict[str, int]:
    """Give ``hour_of_day``, ``is_weekend`` and ``is_night`` of an event time.

    Args:
        event_time_ms: in ms since 1970 UTC.

    Examples:
        Sunday, 1 April 2018, 06:59:59.999 and one millisecond later:

        >>> on_demand_features(1_522_565_999_999)
        {'hour_of_day': 6, 'is_weekend': 1, 'is_night': 1}
        >>> on_demand_features(1_522_566_000_000)
        {'hour_of_day': 7, 'is_weekend': 1, 'is_night': 0}
    """
    hour = event_time_ms % DAY_MS // HOUR_MS
    weekday = (event_time_ms // DAY_MS + _WEEKDAY_OF_1970_01_01) % 7
    return {
        "hour_of_day": hour,
        "is_weekend": int(weekday >= _SATURDAY),
        "is_night": int(hour <= NIGHT_HOUR_MAX),
    }
