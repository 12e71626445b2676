"""The headers of a dead letter: Kafka Connect's names, whatever the error holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dead_letter import (
    MESSAGE_LENGTH_MAX,
    DeadLetter,
    dead_letter_headers,
    read_dead_letter,
)
from schemas.errors import InvalidEventError


def headers_of(error: Exception) -> list[tuple[str, bytes]]:
    """Headers of a record refused for this."""
    return dead_letter_headers(
        topic="transactions", partition=3, offset=2**40, stage="decode", error=error
    )


def test_headers_have_the_names_of_kafka_connect() -> None:
    assert headers_of(InvalidEventError("user_id", "is missing")) == [
        ("__connect.errors.topic", b"transactions"),
        ("__connect.errors.partition", b"3"),
        ("__connect.errors.offset", b"1099511627776"),
        ("__connect.errors.stage", b"decode"),
        ("__connect.errors.exception.class.name", b"schemas.errors.InvalidEventError"),
        ("__connect.errors.exception.message", b"user_id is missing"),
    ]


def test_headers_are_read_back_among_those_that_came_with_the_record() -> None:
    headers = [("ce_id", b"t-1"), *headers_of(ValueError("no"))]
    assert read_dead_letter(headers) == DeadLetter(
        topic="transactions",
        partition=3,
        offset=2**40,
        stage="decode",
        exception_class="builtins.ValueError",
        exception_message="no",
    )


def test_a_record_that_was_a_dead_letter_before_tells_of_the_last_time() -> None:
    headers = [*headers_of(ValueError("first")), *headers_of(ValueError("last"))]
    assert read_dead_letter(headers).exception_message == "last"


def test_a_message_one_below_the_limit_and_on_it_is_kept_one_above_is_cut() -> None:
    for length in (MESSAGE_LENGTH_MAX - 1, MESSAGE_LENGTH_MAX):
        assert read_dead_letter(headers_of(ValueError("x" * length))).exception_message == (
            "x" * length
        )
    longer = read_dead_letter(headers_of(ValueError("x" * (MESSAGE_LENGTH_MAX + 1))))
    assert longer.exception_message == "x" * MESSAGE_LENGTH_MAX


def test_a_record_without_these_headers_is_no_dead_letter() -> None:
    with pytest.raises(ValueError, match=r"__connect\.errors\.topic is missing"):
        read_dead_letter(None)
    with pytest.raises(ValueError, match=r"exception\.message is missing"):
        read_dead_letter(headers_of(ValueError("no"))[:-1])


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_any_message_can_be_sent_and_read(message: str) -> None:
    assert read_dead_letter(headers_of(ValueError(message))).exception_message == message


def test_a_lone_surrogate_in_a_message_is_sent_as_its_escape() -> None:
    headers = headers_of(ValueError("bad \ud800"))
    assert read_dead_letter(headers).exception_message == r"bad \ud800"
