"""What one field may hold, said once for the types, the codec and the JSON Schemas.

Each name is the Python type with its JSON Schema keywords beside it. The codec
is what decides; ``schemas/json_schema.py`` prints these for producers.
"""

from __future__ import annotations

from typing import Annotated

ID_LENGTH_MAX = 128
"""Longest id, in Unicode code points."""

DEVICE_TYPE_LENGTH_MAX = 64
"""Longest device type, in Unicode code points."""

EVENT_TIME_MS_MAX = 253_402_300_799_999
"""The last millisecond of the year 9999, for a replay too: calendars end there."""


class Keywords:
    """JSON Schema keywords beside a type in ``Annotated``.

    A class of its own because ``Annotated`` wants to hash what stands in it.
    """

    def __init__(self, **keywords: int | str | dict[str, object]) -> None:
        """Keep the keywords under their JSON Schema names."""
        self.schema = keywords


# Some text that is no space, and no control character anywhere.
_PATTERN = r"^(?=[\s\S]*\S)[^\u0000-\u001f\u007f-\u009f]*$"

Text = Annotated[str, Keywords(minLength=1, pattern=_PATTERN)]
Id = Annotated[str, Keywords(minLength=1, maxLength=ID_LENGTH_MAX, pattern=_PATTERN)]
DeviceType = Annotated[
    str, Keywords(minLength=1, maxLength=DEVICE_TYPE_LENGTH_MAX, pattern=_PATTERN)
]
CurrencyCode = Annotated[str, Keywords(pattern="^[A-Z]{3}$")]
CountryCode = Annotated[str, Keywords(pattern="^[A-Z]{2}$")]
TimeMs = Annotated[int, Keywords(minimum=0, maximum=EVENT_TIME_MS_MAX)]
NotNegative = Annotated[int, Keywords(minimum=0)]
Share = Annotated[float, Keywords(minimum=0, maximum=1)]
