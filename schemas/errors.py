"""The three kinds of failure, and the first two of them.

    WeirError
    ├── InvalidEventError (also ValueError)   the event is invalid: dead letter, then continue
    └── RetryableError                        a service is slow or down: retry, commit nothing

The third kind is everything else: a bug. It is not caught; the process ends without a commit
and the supervisor starts it again. Each package defines its own errors below these two.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

SHOWN_CHARACTERS_MAX = 80
"""Longest part of a value that an error message shows."""

_SHOWN_INTEGER_BITS_MAX = 256
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class WeirError(Exception):
    """The root of every error that Weir raises on purpose."""


class InvalidEventError(WeirError, ValueError):
    """An event that is invalid and stays invalid, however often it is read.

    Do not retry: the bytes go to the dead letters with this reason, and the stream continues.
    Can be pickled, so it may cross a process border.

    Attributes:
        field: the name of the field that is wrong, None if the whole value is.
        reason: what is wrong, the value and the limit; completes a sentence that begins with the
            field.

    Examples:
        >>> str(InvalidEventError("amount_minor", "is -1, limit 0"))
        'amount_minor is -1, limit 0'
        >>> str(InvalidEventError(None, "is empty"))
        'the value is empty'
    """

    def __init__(self, field: str | None, reason: str) -> None:
        """Keep both parts: the sentence is for readers, the field is for counters."""
        super().__init__(field, reason)
        self.field = field
        self.reason = reason

    def __str__(self) -> str:
        """Give field and reason as one sentence."""
        return f"{self.field or 'the value'} {self.reason}"


class RetryableError(WeirError):
    """A service is slow or down: a timeout, a broker that is not the leader.

    Retry a bounded number of times, then stop consuming. Nothing is committed.
    """


def shown(value: object) -> str:
    """Give a value as an error message shows it: in JSON's terms, at most 80 characters.

    Lists and objects are named, not printed, because printing a deeply nested one fails. The result
    can always be logged and encoded.

    Examples:
        >>> shown(None), shown(True), shown({"a": 1}), shown("12")
        ('null', 'true', 'an object', "'12'")
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        text = repr(value[:SHOWN_CHARACTERS_MAX])
    elif isinstance(value, int):
        bits = value.bit_length()
        text = str(value) if bits <= _SHOWN_INTEGER_BITS_MAX else f"an integer of {bits} bits"
    elif isinstance(value, float):
        text = repr(value)
    elif isinstance(value, dict):
        text = "an object"
    else:
        text = "a list" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
    return text if len(text) <= SHOWN_CHARACTERS_MAX else text[: SHOWN_CHARACTERS_MAX - 1] + "…"


def shown_time(time_ms: int) -> str:
    """Give a time as an error message shows it: ms since 1970, and in ISO 8601, UTC.

    A time outside the calendar, the years 1 to 9999, is shown as its number alone.

    Examples:
        >>> shown_time(1_795_478_400_123)
        '1795478400123 (2026-11-24T00:00:00.123Z)'
    """
    try:
        moment = _EPOCH + timedelta(milliseconds=time_ms)
    except OverflowError:
        return shown(time_ms)
    # The offset is left out for the shorter Z.
    return f"{time_ms} ({moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z)"
