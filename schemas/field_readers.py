"""Reads one field of a JSON object, strictly, or refuses it.

A reader takes the object and the name of a field. It gives the value back if it has exactly the
type and the limits asked for; it repairs and converts nothing. Every refusal is an
``InvalidEventError`` that names the field, the value and the limit. The codecs call the readers;
which fields an event has is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeVar

from schemas.errors import InvalidEventError, shown, shown_time
from schemas.fields import EVENT_TIME_MS_MAX

MISSING: Final = object()
"""What a reader finds where a field is absent; null is a value of its own."""

_T = TypeVar("_T")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def read_text(obj: Mapping[str, object], field: str, length_max: int) -> str:
    """Read text of 1 to ``length_max`` code points: not blank, no control character.

    Raises:
        InvalidEventError: the field is missing or is something else.
    """
    value = obj.get(field, MISSING)
    # Printable text has no control character and no surrogate; most text is printable.
    if (
        type(value) is str
        and 0 < len(value) <= length_max
        and value.isprintable()
        and not value.isspace()
    ):
        return value
    return _checked_text(value, field, length_max)


def read_code(obj: Mapping[str, object], field: str, fullmatch: Any, meaning: str) -> str:
    """Read text that a pattern matches as a whole.

    Args:
        obj: a JSON object.
        field: its field.
        fullmatch: the ``fullmatch`` method of a compiled pattern.
        meaning: what the text must be, for the error message, to be read after "an".

    Raises:
        InvalidEventError: the field is missing or is something else.
    """
    value = obj.get(field, MISSING)
    if type(value) is not str:
        refuse_type(field, value, f"text: an {meaning}")
    if fullmatch(value) is None:
        refuse(field, f"is {shown(value)}, must be an {meaning}")
    return value


def read_not_negative(obj: Mapping[str, object], field: str) -> int:
    """Read a JSON integer of 0 or more.

    Raises:
        InvalidEventError: the field is missing or is something else.
    """
    value = obj.get(field, MISSING)
    if type(value) is not int:
        refuse_type(field, value, "a JSON integer, without fraction, exponent or quotes")
    if value < 0:
        refuse(field, f"is {shown(value)}, limit 0")
    return value


def read_time_ms(obj: Mapping[str, object], field: str) -> int:
    """Read an instant in ms since 1970 UTC, up to the end of the year 9999.

    Raises:
        InvalidEventError: the field is missing or is something else.
    """
    value = read_not_negative(obj, field)
    if value > EVENT_TIME_MS_MAX:
        refuse(field, f"is {shown_time(value)}, limit {shown_time(EVENT_TIME_MS_MAX)}")
    return value


def read_boolean(obj: Mapping[str, object], field: str) -> bool:
    """Read true or false.

    Raises:
        InvalidEventError: the field is missing or is something else.
    """
    value = obj.get(field, MISSING)
    if type(value) is not bool:
        refuse_type(field, value, "true or false")
    return value


def read_typed(obj: Mapping[str, Any], field: str, kind: type[_T]) -> _T:
    """Read a value of exactly one Python type, without further limits.

    Raises:
        InvalidEventError: the field is missing or is of another type.
    """
    value = obj.get(field, MISSING)
    if type(value) is not kind:
        refuse_type(field, value, kind.__name__)
    return value


def refuse_type(field: str, value: object, wanted: str) -> NoReturn:
    """Refuse a field that is missing or of another type than ``wanted``."""
    if value is MISSING:
        refuse(field, f"is missing, must be {wanted}")
    refuse(field, f"is {shown(value)}, must be {wanted}")


def refuse(field: str | None, reason: str) -> NoReturn:
    """Refuse a field, or the whole value if ``field`` is None.

    Raises:
        InvalidEventError: always.
    """
    # The cause is left out: the reason is complete, and the cause may hold the whole value.
    raise InvalidEventError(field, reason) from None


def _checked_text(value: object, field: str, length_max: int) -> str:
    """Check text rule by rule, to name the rule that it breaks."""
    if type(value) is not str:
        refuse_type(field, value, "text")
    if len(value) > length_max:
        refuse(field, f"has {len(value)} characters, limit {length_max}: {shown(value)}")
    if not value or value.isspace():
        refuse(field, f"is blank: {shown(value)}")
    if _CONTROL.search(value):
        refuse(field, f"has a control character: {shown(value)}")
    if _SURROGATE.search(value):
        refuse(field, f"has a lone surrogate, which is not a character: {shown(value)}")
    return value
