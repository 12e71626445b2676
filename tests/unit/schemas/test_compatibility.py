"""Every kind of breaking change is found, and compatible changes pass."""

import copy
from typing import Any

import pytest

from schemas.compatibility import breaking_changes

RELEASED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^a"},
        "amount": {"type": "integer", "minimum": 0, "maximum": 100},
        "rate": {"type": ["number", "null"]},
        "outcome": {"type": "string", "enum": ["YES", "NO"]},
        "place": {
            "type": "object",
            "properties": {"offset": {"type": "integer"}},
            "required": ["offset"],
        },
        "names": {"type": "array", "items": {"type": "string"}},
        "values": {"type": "object", "additionalProperties": {"type": "integer"}},
        "note": {"type": "string"},
    },
    "required": ["id", "amount", "rate", "outcome", "place", "names", "values"],
    "additionalProperties": True,
}


def changes(path: str, value: Any, *, is_emitted: bool = False) -> list[str]:
    """What breaks when the keyword at this dotted path has another value; None removes it."""
    current = copy.deepcopy(RELEASED)
    *steps, last = path.split(".")
    inner = current
    for step in steps:
        inner = inner[step]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return breaking_changes(RELEASED, current, is_emitted=is_emitted)


@pytest.mark.parametrize("is_emitted", [False, True])
def test_the_same_schema_breaks_nothing(is_emitted: bool) -> None:
    assert breaking_changes(RELEASED, RELEASED, is_emitted=is_emitted) == []


@pytest.mark.parametrize("is_emitted", [False, True])
@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("properties.note", None, ".note: gone"),
        ("required", [*RELEASED["required"], "note"], ".note: is now required"),
        ("properties.rate.type", "number", ".rate: type null is no longer accepted"),
        ("properties.rate.type", ["integer", "null"], ".rate: type number is no longer accepted"),
        ("properties.outcome.enum", ["YES"], ".outcome: value NO is no longer accepted"),
        ("properties.note.enum", ["a"], ".note: value anything but these is no longer accepted"),
        ("properties.id.minLength", 2, ".id: minLength is narrower, 2"),
        ("properties.id.maxLength", 127, ".id: maxLength is narrower, 127"),
        ("properties.note.maxLength", 9, ".note: maxLength is narrower, 9"),
        ("properties.amount.minimum", 1, ".amount: minimum is narrower, 1"),
        ("properties.amount.maximum", 99, ".amount: maximum is narrower, 99"),
        ("properties.id.pattern", "^b", ".id: pattern has changed to ^b"),
        ("properties.note.pattern", "^b", ".note: pattern has changed to ^b"),
        ("properties.place.properties.offset", None, ".place.offset: gone"),
    ],
)
def test_what_was_good_and_is_no_longer_is_a_break(
    path: str, value: Any, expected: str, is_emitted: bool
) -> None:
    assert changes(path, value, is_emitted=is_emitted) == [expected]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("properties.names.items.type", "integer", ".names[]: type string is no longer accepted"),
        (
            "properties.values.additionalProperties.type",
            "string",
            ".values.*: type integer is no longer accepted",
        ),
        ("additionalProperties", False, ".*: type string is no longer accepted"),
    ],
)
def test_a_break_deep_inside_is_found(path: str, value: Any, expected: str) -> None:
    assert expected in changes(path, value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("properties.extra", {"type": "string"}),
        ("properties.id.minLength", 0),
        ("properties.id.minLength", None),
        ("properties.id.maxLength", 129),
        ("properties.id.maxLength", None),
        ("properties.id.pattern", None),
        ("properties.amount.minimum", -1),
        ("properties.amount.maximum", 101),
        ("properties.id.description", "Another sentence."),
    ],
)
@pytest.mark.parametrize("is_emitted", [False, True])
def test_a_new_optional_field_or_a_wider_limit_breaks_nothing(
    path: str, value: Any, is_emitted: bool
) -> None:
    assert changes(path, value, is_emitted=is_emitted) == []


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("required", RELEASED["required"][1:], ".id: is no longer required"),
        ("properties.amount.type", "number", ".amount: type number is new to its readers"),
        ("properties.note.type", ["string", "null"], ".note: type null is new to its readers"),
        ("properties.outcome.enum", ["YES", "NO", "-"], ".outcome: value - is new to its readers"),
        ("properties.outcome.enum", None, ".outcome: value any other is new to its readers"),
        ("properties.place.required", [], ".place.offset: is no longer required"),
    ],
)
def test_what_readers_never_met_is_a_break_only_where_weir_writes(
    path: str, value: Any, expected: str
) -> None:
    assert changes(path, value, is_emitted=True) == [expected]
    assert changes(path, value, is_emitted=False) == []


def test_the_sentence_names_the_value_itself_at_the_top() -> None:
    assert breaking_changes({"type": "object"}, {"type": "array"}, is_emitted=False) == [
        "the value: type object is no longer accepted"
    ]
