"""Errors say field, value and limit, and can always be shown, sent and pickled."""

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import (
    SHOWN_CHARACTERS_MAX,
    InvalidEventError,
    RetryableError,
    WeirError,
    shown,
    shown_time,
)
from schemas.fields import EVENT_TIME_MS_MAX


def test_invalid_and_retryable_are_the_two_branches_of_the_tree() -> None:
    assert issubclass(InvalidEventError, WeirError)
    assert issubclass(InvalidEventError, ValueError)
    assert issubclass(RetryableError, WeirError)
    assert not issubclass(RetryableError, ValueError)


def test_an_invalid_event_reads_as_field_and_reason() -> None:
    error = InvalidEventError("score", "is 2, limit 1")
    assert (error.field, error.reason, str(error)) == (
        "score",
        "is 2, limit 1",
        "score is 2, limit 1",
    )
    assert str(InvalidEventError(None, "is empty")) == "the value is empty"


def test_an_invalid_event_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(InvalidEventError("score", "is 2")))
    assert (error.field, error.reason) == ("score", "is 2")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (12, "12"),
        (12.0, "12.0"),
        ("12", "'12'"),
        ({"a": 1}, "an object"),
        ([1], "a list"),
        ((1,), "a list"),
        (b"", "a bytes"),
        ("\ud800", r"'\ud800'"),
        (10**5_000, "an integer of 16610 bits"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_shown_in_the_words_of_json(value: Any, text: str) -> None:
    assert shown(value) == text


def test_a_value_one_below_the_limit_and_on_it_is_shown_whole_one_above_is_cut() -> None:
    quotes = 2
    for length in (SHOWN_CHARACTERS_MAX - 1, SHOWN_CHARACTERS_MAX):
        assert shown("x" * (length - quotes)) == f"'{'x' * (length - quotes)}'"
    cut = shown("x" * (SHOWN_CHARACTERS_MAX + 1 - quotes))
    assert len(cut) == SHOWN_CHARACTERS_MAX
    assert cut.endswith("…")


def test_a_list_that_is_too_deep_to_print_can_be_shown() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    assert shown(deep) == "a list"


@given(st.text() | st.integers() | st.floats() | st.binary())
def test_whatever_is_shown_is_short_and_can_be_encoded(value: object) -> None:
    assert len(shown(value)) <= SHOWN_CHARACTERS_MAX
    shown(value).encode()


def test_a_time_outside_the_calendar_is_shown_as_its_number_alone() -> None:
    assert shown_time(EVENT_TIME_MS_MAX) == f"{EVENT_TIME_MS_MAX} (9999-12-31T23:59:59.999Z)"
    assert shown_time(EVENT_TIME_MS_MAX + 1) == str(EVENT_TIME_MS_MAX + 1)
    assert shown_time(-(10**20)) == str(-(10**20))
    assert shown_time(10**400) == "an integer of 1329 bits"
