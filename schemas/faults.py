"""Names every wrong field of an event in one error, so that a producer can correct all at once.

Called only for an event that is already known to be invalid; reading a valid event costs nothing
more. Knows no field and no rule: the codec gives the function that reads, and a valid value for
each field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from schemas.dead_letter import MESSAGE_LENGTH_MAX
from schemas.errors import InvalidEventError


def error_of_all_fields(
    read: Callable[[Mapping[str, object]], object],
    obj: Mapping[str, object],
    *,
    valid: Mapping[str, object],
) -> InvalidEventError:
    """Give one error that names every field of an invalid event that is wrong.

    Reads the event again, with a valid value in place of each wrong one, until nothing is wrong.
    So the rules, the words and the order are those of ``read``.

    Args:
        read: reads the event and raises for the first wrong field. It must check each field by
            itself: a rule about two fields would compare with a value of ``valid``.
        obj: the event; ``read`` refuses it.
        valid: a valid value for each field that ``read`` checks.

    Returns:
        An error of the first wrong field; its reason goes on with the other fields. Its message
        has at most 1,000 characters. Fields that do not fit with their reasons are named.
    """
    reasons: dict[str, str] = {}
    mended = dict(obj)
    while (error := _first_error(read, mended)) is not None:
        field = error.field
        if field is None or field not in valid or field in reasons:
            break
        reasons[field] = error.reason
        mended[field] = valid[field]
    if not reasons:
        assert error is not None, "the event is valid"
        return error
    return _joined(reasons)


def _first_error(
    read: Callable[[Mapping[str, object]], object], obj: Mapping[str, object]
) -> InvalidEventError | None:
    try:
        read(obj)
    except InvalidEventError as error:
        return error
    return None


def _joined(reasons: Mapping[str, str]) -> InvalidEventError:
    first, *others = reasons
    text = reasons[first]
    for number, field in enumerate(others, start=1):
        sentence = f"; and {field} {reasons[field]}"
        length = len(f"{first} {text}{sentence}{_named(others[number:])}")
        if length > MESSAGE_LENGTH_MAX:
            text += _named(others[number - 1 :])
            break
        text += sentence
    return InvalidEventError(first, text)


def _named(fields: list[str]) -> str:
    return f"; also wrong: {', '.join(fields)}" if fields else ""
