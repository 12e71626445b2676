"""What passes for one JSON object, and what does not."""

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas import strict_json
from schemas.errors import InvalidEventError
from schemas.strict_json import NESTING_MAX, parse_object
from tests.builders import wire


def reason_of(value: bytes | None) -> str:
    """The reason why this is refused; fails when it is not."""
    with pytest.raises(InvalidEventError) as caught:
        parse_object(value)
    assert caught.value.field is None
    return caught.value.reason


def nested(depth: int) -> bytes:
    """An object ``depth`` brackets deep, itself the first."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_an_object_with_space_around_it_is_read() -> None:
    assert parse_object(b' \t\r\n{"a": [1, -2.5, "\\u00e9", null]} \n') == {
        "a": [1, -2.5, "é", None]
    }


def test_a_tombstone_is_refused() -> None:
    assert "tombstone" in reason_of(None)


def test_no_bytes_are_refused_as_empty() -> None:
    assert "empty" in reason_of(b"")


@pytest.mark.parametrize("value", [b"[]", b"1", b'"text"', b"null", b"true", b"[{}]"])
def test_json_that_is_no_object_is_refused(value: bytes) -> None:
    assert "must be a JSON object" in reason_of(value)


@pytest.mark.parametrize(
    "value",
    [
        b"{",
        b"{}{}",
        b"{} x",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 01}',
        b'{"a": +1}',
        b'{"a": .5}',
        b'{"a": 0x1}',
        b'{"a": 1_000}',
        b'{"a": "line\nbreak"}',
        b'{"a": "\\x41"}',
        b"{a: 1}",
        b'{"a": 1 /* one */}',
        b" ",
        b"\x00",
        b'{"a": 1}\x00',
        b'{"a": "\x00"}',
    ],
)
def test_what_is_not_json_to_the_letter_is_refused(value: bytes) -> None:
    assert reason_of(value).startswith("is not JSON")


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\xfe{\x00}\x00",
        b'{"a": "\xff"}',
        b'{"a": "\xc0\xaf"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\xf5\x80\x80\x80"}',
        b'{"a": "\xc3',
    ],
    ids=["utf-16", "no-utf-8", "overlong", "encoded-surrogate", "beyond-unicode", "cut-off"],
)
def test_what_is_not_strict_utf_8_is_refused(value: bytes) -> None:
    assert reason_of(value).startswith("is not UTF-8")


def test_a_byte_order_mark_is_refused_by_name() -> None:
    assert "byte order mark" in reason_of(b"\xef\xbb\xbf{}")


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("frame", ['{"a": %s}', '{"a": {"b": [1, %s]}}'])
def test_nan_and_infinity_are_refused_anywhere(constant: str, frame: str) -> None:
    assert constant in reason_of((frame % constant).encode())


@pytest.mark.parametrize(
    "value",
    [b'{"a": 1, "a": 1}', b'{"b": {"a": 1, "a": 2}}', b'{"b": [{"a": 1, "c": 0, "a": 2}]}'],
)
def test_a_field_given_twice_is_refused_at_any_depth(value: bytes) -> None:
    assert reason_of(value) == "gives the field 'a' twice"


def test_a_field_given_twice_under_two_spellings_is_refused() -> None:
    assert "twice" in reason_of(b'{"a": 1, "\\u0061": 2}')


def test_the_same_field_in_two_objects_is_not_twice() -> None:
    assert parse_object(b'{"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}')["a"] == {"a": 1}


def test_nesting_one_below_the_limit_and_on_it_is_read_one_above_is_refused() -> None:
    assert parse_object(nested(NESTING_MAX - 1))
    assert parse_object(nested(NESTING_MAX))
    # With brackets beside it, so that the text is looked at closely.
    assert parse_object(b'{"b":[],' + nested(NESTING_MAX)[1:])
    assert reason_of(nested(NESTING_MAX + 1)) == f"is nested deeper than {NESTING_MAX} levels"


def test_many_brackets_side_by_side_or_in_text_are_not_nesting() -> None:
    side_by_side = {"a": [[] for _ in range(1_000)], "b": [{} for _ in range(1_000)]}
    in_text = {"a": "[" * 1_000, "b" + "{" * 1_000: '\\"[[[{{{\\' * 100}
    assert parse_object(wire(side_by_side)) == side_by_side
    assert parse_object(wire(in_text)) == in_text


@pytest.mark.parametrize("bracket", [b"[", b'{"a":'])
def test_nesting_that_would_exhaust_the_stack_is_refused(bracket: bytes) -> None:
    assert "nested" in reason_of(b'{"a":' + bracket * 100_000)


@pytest.mark.parametrize("digits", [18, 400, 4_300])
def test_a_large_integer_is_read_exactly(digits: int) -> None:
    assert parse_object(b'{"a": ' + b"9" * digits + b"}") == {"a": 10**digits - 1}


def test_an_integer_of_thousands_of_digits_is_refused() -> None:
    assert "digits" in reason_of(b'{"a": ' + b"9" * 4_301 + b"}")


@pytest.mark.parametrize(
    "value",
    [
        b'{"a": ' + b"[" * 40 + b'"' + b'\\"' * 200_000,
        b'{"a": ' + b"[" * 40 + b'"' + b'\\"' * 200_000 + b"\\",
        b"{" + b",".join(b'"%d":0' % n for n in range(50_000)) + b',"49999":0}',
    ],
    ids=["open-string", "open-escape", "last-field-twice"],
)
def test_the_work_does_not_grow_with_the_square_of_the_length(value: bytes) -> None:
    # Nothing is timed: were it the square, the run would hang here for many minutes.
    assert reason_of(value)


@given(st.binary(max_size=200))
@example(b'{"a":"\\ud800"}')
def test_any_bytes_are_an_object_or_an_invalid_event(value: bytes) -> None:
    try:
        parsed = parse_object(value)
    except InvalidEventError as error:
        str(error).encode()  # A reason can always be sent.
    else:
        assert isinstance(parsed, dict)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_every_object_of_json_is_read_as_it_was_written(obj: dict[str, object]) -> None:
    assert parse_object(wire(obj)) == obj


texts = st.sampled_from(
    ['""', '"a"', '"b"', '"\\u0061"', '"\\""', '"\u00e4"', '"{"', '"\ufeff"', '"\x00"', "a"]
)
numbers = ["1", "-1", "-0", "01", "1.0", "1e2", "9" * 19, "9" * 30, "NaN", "-Infinity", "1 1"]
others = ["true", "null", "[]", "{}", '["a"]', '{"a":1,"a":2}', "", '"a" "a"']
values = texts | st.sampled_from(numbers) | st.sampled_from(others)
spaces = st.sampled_from(["", " ", "\t\r\n", "\x0c", "\u00a0"])


def outcome(parse: Callable[[bytes], dict[str, object]], value: bytes) -> str:
    try:
        return repr(parse(value))
    except InvalidEventError as error:
        return str(error)


@given(
    st.lists(st.tuples(texts, values), max_size=4), spaces, spaces, st.sampled_from([b"", b"\xff"])
)
def test_the_fast_parser_gives_what_the_strict_one_gives(
    pairs: list[tuple[str, str]], before: str, after: str, tail: bytes
) -> None:
    inside = ",".join(f"{name}:{before}{value}" for name, value in pairs)
    value = f"{before}{{{inside}{after}}}{after}".encode() + tail
    assert outcome(parse_object, value) == outcome(strict_json._parsed_strictly, value)


def test_a_plain_object_takes_the_short_way() -> None:
    assert strict_json._plain_object(b'{"a": "b", "c": 1}') == {"a": "b", "c": 1}
    assert strict_json._plain_object(b'{"a": "b", "a": 1}') is None
