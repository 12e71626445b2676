"""Bytes to one JSON object, to the letter of RFC 8259 and nothing more generous.

The library's parser repairs and overlooks: the last of two equal names wins, NaN
passes, and how deep it goes depends on the stack that is left. Here each of these
is refused, everywhere in the text. Knows no field; ``schemas/codec.py`` does.

Most objects are flat and plain, and those are read by the fast parser: all it overlooks in them
is a name given twice, and that shows in the number of quotes. The others take the long way.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, NoReturn

import orjson

from schemas.errors import InvalidEventError, shown

NESTING_MAX = 32
"""How deep JSON may be nested. Weir's own records need 3; fixed, so that the answer
does not depend on who asks, with how much of the stack left."""

# A string, closed or not, or one bracket. Possessive, so that it is linear in
# the length of any text, however many quotes and backslashes that has.
_BRACKETS = re.compile(r'(?s)"(?:[^"\\]++|\\.?)*+"?+|[\[\]{}]')


def parse_object(value: bytes | None) -> dict[str, object]:
    """Parse what somebody sent as one JSON object; its fields are not looked at.

    For who fills in fields before ``transaction_from_object``, as the API does.

    Raises:
        InvalidEventError: a tombstone (None), not JSON in strict UTF-8, not an object,
            a field given twice, NaN or Infinity, nested deeper than 32 levels.

    Examples:
        >>> parse_object(b'{"a": 1}')
        {'a': 1}
    """
    if value is None:
        _refuse("is null: a tombstone is not an event")
    plain = _plain_object(value)
    return _parsed_closely(value) if plain is None else plain


def _plain_object(value: bytes) -> dict[str, object] | None:
    """Give an object of texts without escapes and of integers below 2^64; None if it is none."""
    if b"\\" in value:
        return None
    try:
        obj = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    if type(obj) is not dict:
        return None
    kinds = [*map(type, obj.values())]
    texts = kinds.count(str)
    is_plain = texts + kinds.count(int) == len(kinds)
    return obj if is_plain and value.count(b'"') == 2 * (len(kinds) + texts) else None


def _parsed_closely(value: bytes) -> dict[str, object]:
    text = _text(value)
    # Two counts cost nothing; only text with many brackets is looked at closely.
    if text.count("{") + text.count("[") > NESTING_MAX:
        _check_nesting(text)
    obj = _parsed(text)
    if type(obj) is not dict:
        _refuse(f"must be a JSON object, is {shown(obj)}")
    return obj


def _text(value: bytes) -> str:
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        _refuse(f"is not UTF-8: {error.reason} at byte {error.start}")


def _parsed(text: str) -> object:
    try:
        return _PARSE(text)
    except InvalidEventError:
        raise
    except json.JSONDecodeError as error:
        _refuse(_why_not_json(text, error))
    except ValueError:
        # Python's own limit on digits, which keeps the conversion from taking minutes.
        _refuse("contains an integer of thousands of digits")


def _object_from_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    obj = dict(pairs)
    if len(obj) != len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        _refuse(f"gives the field {shown(twice)} twice")
    return obj


def _refuse_constant(constant: str) -> NoReturn:
    _refuse(f"contains {constant}, which is not JSON")


_PARSE = json.JSONDecoder(
    object_pairs_hook=_object_from_pairs, parse_constant=_refuse_constant
).decode


def _why_not_json(text: str, error: json.JSONDecodeError) -> str:
    if not text:
        return "is empty, must be a JSON object"
    if text.startswith("\ufeff"):
        return "starts with a byte order mark, must be UTF-8 without one"
    return f"is not JSON: {error.msg} at character {error.pos}"


def _check_nesting(text: str) -> None:
    depth = 0
    for match in _BRACKETS.finditer(text):
        bracket = match[0]
        if bracket in ("[", "{"):
            depth += 1
            if depth > NESTING_MAX:
                _refuse(f"is nested deeper than {NESTING_MAX} levels")
        elif bracket in ("]", "}"):
            depth -= 1


def _refuse(reason: str) -> NoReturn:
    # Without its cause: the reason says it all, and the cause may hold the whole value.
    raise InvalidEventError(None, reason) from None
