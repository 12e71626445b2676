"""The types of fields and their limits, for the event types, the codecs and the JSON Schemas.

Each name is a Python type together with its JSON Schema keywords. The codecs decide what is valid;
``schemas/json_schema.py`` writes the keywords into the schemas for producers.
"""

from __future__ import annotations

from typing import Annotated

ID_LENGTH_MAX = 128
"""Longest id, in Unicode code points."""

DEVICE_TYPE_LENGTH_MAX = 64
"""Longest device type, in Unicode code points."""

EVENT_TIME_MS_MAX = 253_402_300_799_999
"""The last millisecond of the year 9999, where calendars end; valid for a replay as well."""


class Keywords:
    """JSON Schema keywords beside a type in ``Annotated``.

    A class, because ``Annotated`` needs values that can be hashed and a dictionary cannot.
    """

    def __init__(self, **keywords: int | str | dict[str, object]) -> None:
        """Keep the keywords under their JSON Schema names."""
        self.schema = keywords


# At least one character that is no space, and no control character.
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
