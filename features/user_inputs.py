"""What a model of users may take as input, and from which view of Feast each value comes.

A value is of a user as of a time: velocity as of the user's newest transaction until then, batch
features of the newest snapshot until then, and the days between the two. Pure. Called by
`models.definition`, by the data sets, by batch scoring and by the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from features.batch import BATCH_VIEWS
from features.definitions import DAY_MS, USER_FEATURES, ValueType

DAYS_IDLE: Final = "user_days_idle"
"""Days (UTC) between the user's newest transaction and the time: 0 on the same day."""

VELOCITY_NAMES: Final = tuple(feature.name for feature in USER_FEATURES)

USER_INPUTS: Final[Mapping[str, ValueType]] = {
    **{feature.name: feature.value_type for feature in USER_FEATURES},
    DAYS_IDLE: "int64",
    **{feature.name: feature.value_type for view in BATCH_VIEWS for feature in view.features},
}
"""Every input by name with its type; a mean may also be null."""


def days_idle(event_time_ms: int, as_of_ms: int) -> int:
    """Give the days between a user's newest transaction and a later time.

    Args:
        event_time_ms: of the transaction, ms since 1970 UTC.
        as_of_ms: the time, ms since 1970 UTC.

    Examples:
        >>> days_idle(DAY_MS - 1, DAY_MS), days_idle(DAY_MS, 2 * DAY_MS - 1)
        (1, 0)
    """
    # A transaction may be a little ahead of the clock.
    return max(as_of_ms // DAY_MS - event_time_ms // DAY_MS, 0)
