"""Parses bytes as one JSON object, strictly by RFC 8259.

A library's parser is more tolerant: of two equal names the last one counts, NaN is accepted, and
the depth it accepts depends on the stack that is left. Here all of these are refused, everywhere
in the text. Which fields there are is not known here; ``schemas/codec.py`` knows.

Most objects are flat, without escapes. The fast parser reads them: the only fault that it misses in
such an object is a name given twice, which shows in the number of quotes. All other input takes
the slow path.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, NoReturn

import orjson

from schemas.errors import InvalidEventError, shown

NESTING_MAX = 32
"""How deep JSON may be nested. Weir's own records need 3. The limit is fixed, so that the result
does not depend on the stack that the caller has left."""

# A string, closed or not, or one bracket. Possessive quantifiers keep the time linear in the length
# of the text, whatever quotes and backslashes it has.
_BRACKETS = re.compile(r'(?s)"(?:[^"\\]++|\\.?)*+"?+|[\[\]{}]')


def parse_object(value: bytes | None) -> dict[str, object]:
    """Parse bytes from outside as one JSON object; the fields are not checked.

    For callers that fill in fields before ``transaction_from_object``, as the API does.

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
    return _parsed_strictly(value) if plain is None else plain


def _plain_object(value: bytes) -> dict[str, object] | None:
    """Parse a flat object of strings without escapes and integers below 2^64; None for others."""
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


def _parsed_strictly(value: bytes) -> dict[str, object]:
    text = _text(value)
    # Counting is cheap; only text with many brackets needs the check.
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
        # Python limits the digits of an integer, because the conversion could take minutes.
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
    # The cause is left out: the reason is complete, and the cause may hold the whole value.
    raise InvalidEventError(None, reason) from None
