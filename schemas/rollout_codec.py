"""Changes of rollouts: to bytes and back, strictly.

The limits are those that the types in ``schemas/rollout.py`` name; a field with a default may be
absent, and fields that are not known are ignored, so that an older reader understands a newer
writer. What several fields must agree on is checked by ``schemas/rollout_rules.py``, which the
decoder calls. Every refusal is an ``InvalidEventError`` that names the field by its path.
"""

from __future__ import annotations

import dataclasses
import re
from collections import ChainMap
from collections.abc import Callable, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import orjson

from schemas.errors import shown
from schemas.field_readers import MISSING, refuse
from schemas.fields import Keywords
from schemas.rollout import Rollout, RolloutChange
from schemas.rollout_rules import check_rollout
from schemas.strict_json import parse_object

ROLLOUT_BYTES_MAX = 64 * 1024
"""Largest record of the topic ``rollouts``, bytes. Weir's own have about 2,000."""

_ITEMS_MAX = 64
_T = TypeVar("_T")
_KINDS = {str: "text", int: "an integer", float: "a number", bool: "true or false"}


def encode_rollout_change(change: RolloutChange) -> bytes:
    """Write a change as JSON, fields in their order."""
    return orjson.dumps(change)


def decode_rollout_change(value: bytes | None) -> RolloutChange:
    """Read a change and check that its rollout makes sense.

    Raises:
        InvalidEventError: it is something else, a field is missing or not within its limits, or
            the fields do not agree (`check_rollout`).
    """
    if value is not None and len(value) > ROLLOUT_BYTES_MAX:
        refuse(None, f"has {len(value)} bytes, limit {ROLLOUT_BYTES_MAX}")
    change = _record(RolloutChange, parse_object(value), "")
    check_rollout(change.rollout)
    return change


def rollout_from_object(obj: Mapping[str, object]) -> Rollout:
    """Read a rollout from a JSON object, as a person or a program asks for one.

    Raises:
        InvalidEventError: as ``decode_rollout_change``.
    """
    rollout = _record(Rollout, obj, "")
    check_rollout(rollout)
    return rollout


def read_record(kind: type[_T], obj: Mapping[str, object]) -> _T:
    """Read a part of a rollout, such as its plan, from a JSON object.

    Raises:
        InvalidEventError: a field is missing or not within its limits.
    """
    return _record(kind, obj, "")


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _record(kind: type[_T], obj: object, path: str) -> _T:
    if not isinstance(obj, Mapping):
        refuse(path or None, f"is {shown(obj)}, must be an object")
    hints = _hints(kind)  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        value = obj.get(field.name, MISSING)
        inner = f"{path}.{field.name}" if path else field.name
        if value is not MISSING:
            values[field.name] = _value(hints[field.name], value, inner, {})
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            refuse(inner, "is missing")
    return kind(**values)


def _value(hint: Any, value: object, path: str, keywords: Mapping[str, Any]) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        own = [item.schema for item in arguments[1:] if isinstance(item, Keywords)]
        return _value(arguments[0], value, path, ChainMap(*reversed(own), dict(keywords)))
    if origin in (Union, UnionType):
        return _optional(arguments, value, path, keywords)
    if origin is Literal:
        if value not in arguments:
            refuse(path, f"is {shown(value)}, must be one of {', '.join(arguments)}")
        return value
    if dataclasses.is_dataclass(hint):
        return _record(hint, value, path)  # type: ignore[arg-type]
    if origin in _CONTAINERS:
        return _CONTAINERS[origin](arguments[-1] if origin is dict else arguments[0], value, path)
    return _scalar(hint, value, path, keywords)


def _optional(
    members: tuple[Any, ...], value: object, path: str, keywords: Mapping[str, Any]
) -> Any:
    if value is None:
        return None
    (member,) = (member for member in members if member is not NoneType)
    return _value(member, value, path, keywords)


def _items(hint: Any, value: object, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        refuse(path, f"is {shown(value)}, must be a list")
    if len(value) > _ITEMS_MAX:
        refuse(path, f"has {len(value)} items, limit {_ITEMS_MAX}")
    return tuple(_value(hint, item, f"{path}[{i}]", {}) for i, item in enumerate(value))


def _entries(hint: Any, value: object, path: str) -> dict[str, Any]:
    if type(value) is not dict:
        refuse(path, f"is {shown(value)}, must be an object")
    if len(value) > _ITEMS_MAX:
        refuse(path, f"has {len(value)} entries, limit {_ITEMS_MAX}")
    return {name: _value(hint, item, f"{path}.{name}", {}) for name, item in value.items()}


def _scalar(kind: type, value: object, path: str, keywords: Mapping[str, Any]) -> Any:
    if kind is float and type(value) is int and abs(value) <= 2**53:
        value = float(value)
    if type(value) is not kind:
        refuse(path, f"is {shown(value)}, must be {_KINDS[kind]}")
    _check_limits(value, path, keywords)
    return value


def _check_limits(value: Any, path: str, keywords: Mapping[str, Any]) -> None:
    # Written so that NaN, which compares with nothing, is refused.
    if "minimum" in keywords and not value >= keywords["minimum"]:
        refuse(path, f"is {shown(value)}, limit {keywords['minimum']} or more")
    if "maximum" in keywords and not value <= keywords["maximum"]:
        refuse(path, f"is {shown(value)}, limit {keywords['maximum']} or less")
    if "maxLength" in keywords and len(value) > keywords["maxLength"]:
        refuse(path, f"has {len(value)} characters, limit {keywords['maxLength']}")
    if "pattern" in keywords and re.search(keywords["pattern"], value) is None:
        refuse(path, f"is {shown(value)}, must match {keywords['pattern']}")


_CONTAINERS: Mapping[Any, Callable[[Any, object, str], Any]] = {tuple: _items, dict: _entries}
