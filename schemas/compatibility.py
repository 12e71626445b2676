"""Whether a new JSON Schema breaks those who still work by an old one.

Two sides. Whoever reads with the new schema must take every record that was good
by the old one (old producers, old records in the log). Whoever still reads what
Weir emits by the old schema must find in it what the old one promised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

_UNLIMITED = float("inf")

_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})

# Keyword, its value when it is absent, and whether (old, new) takes in less than before.
_LIMITS: tuple[tuple[str, float, Callable[[float, float], bool]], ...] = (
    ("minimum", -_UNLIMITED, lambda old, new: new > old),
    ("minLength", 0, lambda old, new: new > old),
    ("maximum", _UNLIMITED, lambda old, new: new < old),
    ("maxLength", _UNLIMITED, lambda old, new: new < old),
)


def breaking_changes(
    released: Schema, current: Schema, *, is_emitted: bool, path: str = ""
) -> list[str]:
    """Say what in ``current`` breaks those who work by ``released``; nothing: an empty list.

    Always breaking: a field gone, a required field more, a type or a value no longer
    taken, a limit or pattern narrower. For what Weir emits also: a required field that
    is now optional, a type or a value that readers have never met.

    Args:
        released: the schema of the last release.
        current: the schema of now.
        is_emitted: Weir writes it and others read it.
        path: where in the record these schemas stand, for the sentences.
    """
    return [
        *_changes_of_types(released, current, is_emitted, path or "the value"),
        *_changes_of_limits(released, current, path or "the value"),
        *_changes_of_fields(released, current, is_emitted, path),
    ]


def _types(schema: Schema) -> frozenset[str]:
    types = schema.get("type", _TYPES)
    found = frozenset({types} if isinstance(types, str) else types)
    # Every integer is a number, so that integer to number is wider, not different.
    return found | {"integer"} if "number" in found else found


def _inner(schema: Schema, keyword: str) -> Schema:
    """Give a schema inside a schema; JSON Schema writes "anything" as true, "nothing" as false."""
    inner = schema.get(keyword, True)
    if isinstance(inner, bool):
        return {} if inner else {"type": []}
    return dict(inner)


def _changes_of_types(released: Schema, current: Schema, is_emitted: bool, where: str) -> list[str]:
    old, new = _types(released), _types(current)
    old_values, new_values = set(released.get("enum", [])), set(current.get("enum", []))
    changes = [f"{where}: type {name} is no longer taken" for name in sorted(old - new)]
    if new_values:
        gone = old_values - new_values if old_values else {"any but these"}
        changes += [f"{where}: value {value} is no longer taken" for value in sorted(gone)]
    if is_emitted:
        changes += [f"{where}: type {name} is new to its readers" for name in sorted(new - old)]
        if old_values:
            added = new_values - old_values if new_values else {"any other"}
            changes += [f"{where}: value {value} is new to its readers" for value in sorted(added)]
    return changes


def _changes_of_limits(released: Schema, current: Schema, where: str) -> list[str]:
    changes = [
        f"{where}: {keyword} is narrower, {current[keyword]}"
        for keyword, absent, is_narrower in _LIMITS
        if is_narrower(released.get(keyword, absent), current.get(keyword, absent))
    ]
    pattern = current.get("pattern")
    # Whether one pattern takes in another cannot be told in general: another is a break.
    if pattern is not None and pattern != released.get("pattern"):
        changes.append(f"{where}: pattern is another, {pattern}")
    return changes


def _changes_of_fields(released: Schema, current: Schema, is_emitted: bool, path: str) -> list[str]:
    old, new = released.get("properties", {}), current.get("properties", {})
    old_required, new_required = set(released.get("required", [])), set(current.get("required", []))
    changes = [f"{path}.{name}: gone" for name in old if name not in new]
    changes += [f"{path}.{name}: is now required" for name in sorted(new_required - old_required)]
    if is_emitted:
        optional = (old_required - new_required) & set(new)
        changes += [f"{path}.{name}: is no longer always there" for name in sorted(optional)]
    inner = [(f"{path}.{name}", old[name], new[name]) for name in old if name in new]
    inner += [
        (f"{path}{label}", _inner(released, keyword), _inner(current, keyword))
        for keyword, label in (("items", "[]"), ("additionalProperties", ".*"))
    ]
    for name, old_schema, new_schema in inner:
        if old_schema or new_schema:
            changes += breaking_changes(old_schema, new_schema, is_emitted=is_emitted, path=name)
    return changes
