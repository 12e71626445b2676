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

NESTING_MAX = 32
"""How deep JSON may be nested. Weir's own records need 3; fixed, so that the answer
does not depend on how much of the stack is left."""

# Some text that is no space, and no control character anywhere.
_TEXT_PATTERN = r"^(?=[\s\S]*\S)[^\u0000-\u001f\u007f-\u009f]*$"

Text = Annotated[str, {"minLength": 1, "pattern": _TEXT_PATTERN}]
Id = Annotated[str, {"minLength": 1, "maxLength": ID_LENGTH_MAX, "pattern": _TEXT_PATTERN}]
DeviceType = Annotated[
    str, {"minLength": 1, "maxLength": DEVICE_TYPE_LENGTH_MAX, "pattern": _TEXT_PATTERN}
]
CurrencyCode = Annotated[str, {"pattern": "^[A-Z]{3}$"}]
CountryCode = Annotated[str, {"pattern": "^[A-Z]{2}$"}]
TimeMs = Annotated[int, {"minimum": 0, "maximum": EVENT_TIME_MS_MAX}]
NotNegative = Annotated[int, {"minimum": 0}]
Share = Annotated[float, {"minimum": 0, "maximum": 1}]
