"""Finds the changes of a JSON Schema that break producers or readers of the last release.

Two directions are compared. A reader with the new schema must accept every record that was valid
by the old one, because old producers still send and the log holds old records. A reader with the
old schema must find in what Weir emits everything that the old schema promised. Called by
`schemas/json_schema.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

_UNLIMITED = float("inf")

_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})

# Keyword, its value when it is absent, and whether the new limit accepts less than the old one.
_LIMITS: tuple[tuple[str, float, Callable[[float, float], bool]], ...] = (
    ("minimum", -_UNLIMITED, lambda old, new: new > old),
    ("minLength", 0, lambda old, new: new > old),
    ("maximum", _UNLIMITED, lambda old, new: new < old),
    ("maxLength", _UNLIMITED, lambda old, new: new < old),
)


def breaking_changes(
    released: Schema, current: Schema, *, is_emitted: bool, path: str = ""
) -> list[str]:
    """List the breaking changes from ``released`` to ``current``; empty if there is none.

    Always breaking: a field was removed, a field became required, a type or a value is no longer
    accepted, a limit or a pattern is narrower. Breaking for what Weir emits: a required field
    became optional, a type or a value is new.

    Args:
        released: the schema of the last release.
        current: the schema as it is now.
        is_emitted: Weir writes records of this schema and others read them.
        path: where in the record these schemas stand, for the messages.
    """
    return [
        *_changes_of_types(released, current, is_emitted, path or "the value"),
        *_changes_of_limits(released, current, path or "the value"),
        *_changes_of_fields(released, current, is_emitted, path),
    ]


def _types(schema: Schema) -> frozenset[str]:
    types = schema.get("type", _TYPES)
    found = frozenset({types} if isinstance(types, str) else types)
    # Every integer is a number, so a change from integer to number widens the type.
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
    changes = [f"{where}: type {name} is no longer accepted" for name in sorted(old - new)]
    if new_values:
        gone = old_values - new_values if old_values else {"anything but these"}
        changes += [f"{where}: value {value} is no longer accepted" for value in sorted(gone)]
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
    # Whether one pattern accepts all that another accepts cannot be decided in general, so every
    # other pattern counts as a break.
    if pattern is not None and pattern != released.get("pattern"):
        changes.append(f"{where}: pattern has changed to {pattern}")
    return changes


def _changes_of_fields(released: Schema, current: Schema, is_emitted: bool, path: str) -> list[str]:
    old, new = released.get("properties", {}), current.get("properties", {})
    old_required, new_required = set(released.get("required", [])), set(current.get("required", []))
    changes = [f"{path}.{name}: gone" for name in old if name not in new]
    changes += [f"{path}.{name}: is now required" for name in sorted(new_required - old_required)]
    if is_emitted:
        optional = (old_required - new_required) & set(new)
        changes += [f"{path}.{name}: is no longer required" for name in sorted(optional)]
    inner = [(f"{path}.{name}", old[name], new[name]) for name in old if name in new]
    inner += [
        (f"{path}{label}", _inner(released, keyword), _inner(current, keyword))
        for keyword, label in (("items", "[]"), ("additionalProperties", ".*"))
    ]
    for name, old_schema, new_schema in inner:
        if old_schema or new_schema:
            changes += breaking_changes(old_schema, new_schema, is_emitted=is_emitted, path=name)
    return changes
