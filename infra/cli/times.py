"""Times on the command line: days, moments and durations, read and shown.

All are UTC; the rest of the code knows only ms since 1970.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from features.definitions import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from infra.cli.failures import UsageError

AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        help="Look at the history as it was known then: a day or a moment, UTC; now by default.",
    ),
]

_DAY_FORMATS: Final = ["%Y-%m-%d"]
_UNITS_MS: Final = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}


def day_option(name: str, meaning: str) -> Any:
    """Give an option that takes a day, for a parameter of type `datetime`; `day_ms` reads it.

    Args:
        name: with its hyphens.
        meaning: what ``--help`` says of it.
    """
    return typer.Option(name, formats=_DAY_FORMATS, help=meaning)


def day_ms(day: datetime) -> int:
    """Give the first moment of a day, in ms since 1970 UTC."""
    return int(day.replace(tzinfo=UTC).timestamp()) * 1_000


def parse_moment_ms(option: str, text: str | None) -> int | None:
    """Read a day or a moment, in ms since 1970 UTC; a time without a zone is UTC.

    Raises:
        UsageError: it is not ISO 8601; names the option.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{option} {text!r} is not a date such as 2018-05-01: {error}") from error
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1_000)


def as_of_ms(text: str | None, *, now_ms: int) -> int:
    """Give the time that ``--as-of`` names, in ms since 1970 UTC; the clock if it is not given.

    Raises:
        UsageError: it is not ISO 8601, or after the clock.

    Examples:
        >>> as_of_ms("2018-10-01", now_ms=1_795_392_000_123)
        1538352000000
        >>> as_of_ms(None, now_ms=1_795_392_000_123)
        1795392000123
    """
    named_ms = parse_moment_ms("--as-of", text)
    if named_ms is None:
        return now_ms
    if named_ms > now_ms:
        raise UsageError(
            f"--as-of {text} is after the clock, {shown_moment(now_ms)}; give an earlier time"
        )
    return named_ms


def parse_duration_ms(text: str) -> int:
    """Read a duration of one unit, in ms.

    Raises:
        UsageError: it is not a duration, or 0.

    Examples:
        >>> [parse_duration_ms(text) for text in ("90s", "30m", "6h", "1d")]
        [90000, 1800000, 21600000, 86400000]
    """
    found = re.fullmatch(r"([1-9]\d{0,5})([smhd])", text)
    if found is None:
        raise UsageError(f"{text!r:.40} is not a duration; write 90s, 30m, 6h or 1d")
    return int(found[1]) * _UNITS_MS[found[2]]


def shown_moment(time_ms: int) -> str:
    """Show a time in ISO 8601, UTC.

    Examples:
        >>> shown_moment(1_795_392_000_123)
        '2026-11-23T00:00:00.123+00:00'
    """
    return datetime.fromtimestamp(time_ms / 1_000, tz=UTC).isoformat(timespec="milliseconds")
