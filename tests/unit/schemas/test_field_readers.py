"""Each reader gives back a good value unchanged and names field, value and limit of a bad one."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from schemas.errors import InvalidEventError
from schemas.field_readers import (
    read_boolean,
    read_code,
    read_not_negative,
    read_text,
    read_time_ms,
    read_typed,
    refuse,
)
from schemas.fields import EVENT_TIME_MS_MAX
from tests.unit.schemas.field_values import BAD_TEXT, GOOD_TEXT, NOT_INTEGER

Reader = Callable[[dict[str, Any], str], object]

READERS: dict[str, Reader] = {
    "text": lambda obj, field: read_text(obj, field, 8),
    "code": lambda obj, field: read_code(obj, field, re.compile("[A-Z]{3}").fullmatch, "code"),
    "not negative": read_not_negative,
    "time": read_time_ms,
    "boolean": read_boolean,
    "typed": lambda obj, field: read_typed(obj, field, dict),
}


def refused(reader: Reader, obj: dict[str, Any]) -> InvalidEventError:
    """Why the field ``f`` of this object is refused; fails when it is not."""
    with pytest.raises(InvalidEventError) as caught:
        reader(obj, "f")
    assert caught.value.field == "f"
    return caught.value


@pytest.mark.parametrize("name", READERS)
def test_a_missing_field_and_null_are_told_apart(name: str) -> None:
    assert "is missing" in refused(READERS[name], {}).reason
    reason = refused(READERS[name], {"f": None}).reason
    assert "is null" in reason


@pytest.mark.parametrize("value", GOOD_TEXT, ids=ascii)
def test_good_text_is_given_back_unchanged(value: str) -> None:
    assert read_text({"f": value}, "f", 128) == value


@pytest.mark.parametrize(("value", "why"), BAD_TEXT, ids=ascii)
def test_bad_text_is_refused_with_the_rule_it_breaks(value: str, why: str) -> None:
    assert why in refused(lambda obj, field: read_text(obj, field, 128), {"f": value}).reason


@pytest.mark.parametrize("value", NOT_INTEGER, ids=repr)
def test_what_is_no_json_integer_is_refused(value: Any) -> None:
    assert "JSON integer" in refused(read_not_negative, {"f": value}).reason


def test_numbers_and_times_are_read_up_to_their_limits() -> None:
    assert read_not_negative({"f": 0}, "f") == 0
    assert "limit 0" in refused(read_not_negative, {"f": -1}).reason
    assert read_time_ms({"f": EVENT_TIME_MS_MAX}, "f") == EVENT_TIME_MS_MAX
    assert "limit" in refused(read_time_ms, {"f": EVENT_TIME_MS_MAX + 1}).reason


def test_a_boolean_is_no_integer_and_an_integer_no_boolean() -> None:
    assert read_boolean({"f": False}, "f") is False
    assert "true or false" in refused(read_boolean, {"f": 0}).reason
    with pytest.raises(InvalidEventError, match="must be int"):
        read_typed({"f": True}, "f", int)


def test_the_whole_value_can_be_refused_and_the_cause_is_left_out() -> None:
    def failing() -> None:
        try:
            raise ValueError("a value of megabytes")
        except ValueError:
            refuse(None, "is empty")

    with pytest.raises(InvalidEventError, match=r"^the value is empty$") as caught:
        failing()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
