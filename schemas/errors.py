"""The three kinds of failure, and the first two of them.

    WeirError
    ├── InvalidEventError (also ValueError)   this event will never work: dead letter, then go on
    └── RetryableError                        the world is slow or down: try again, commit nothing

The third kind is everything else: a bug. Nobody catches it; the process ends
uncommitted and the supervisor starts it again. Packages draw their own branches.
"""

from __future__ import annotations

SHOWN_CHARACTERS_MAX = 80
"""How much of a value an error message shows."""

_SHOWN_INTEGER_BITS_MAX = 256


class WeirError(Exception):
    """The root of every error that Weir raises on purpose."""


class InvalidEventError(WeirError, ValueError):
    """An event that will never work, whoever reads it and however often.

    Never retry: the bytes go to the dead letters with this reason, and the
    stream goes on. Survives pickling, so it may cross a process border.

    Attributes:
        field: the name of the field at fault, None when it is the whole value.
        reason: what is wrong, the value and the limit, to be read after the field.

    Examples:
        >>> str(InvalidEventError("amount_minor", "is -1, limit 0"))
        'amount_minor is -1, limit 0'
        >>> str(InvalidEventError(None, "is empty"))
        'the value is empty'
    """

    def __init__(self, field: str | None, reason: str) -> None:
        """Keep both parts: the sentence is for people, the field for counting."""
        super().__init__(field, reason)
        self.field = field
        self.reason = reason

    def __str__(self) -> str:
        """Read field and reason as one sentence."""
        return f"{self.field or 'the value'} {self.reason}"


class RetryableError(WeirError):
    """The world is slow or down: a timeout, a broker that is not the leader.

    Try again a bounded number of times, then stop consuming. Nothing is committed.
    """


def shown(value: object) -> str:
    """Give a value as an error message shows it: JSON's words, at most 80 characters.

    Lists and objects are named, not printed: printing one that is nested deeply
    would itself fail. What comes back is always safe to log and to encode.

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
