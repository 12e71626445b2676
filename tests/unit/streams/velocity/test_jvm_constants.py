"""Numbers that the Java classes and Python must agree on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas import dead_letter, shortened_dead_letter, topics

JAVA = Path(__file__).parents[4] / "streams" / "jvm" / "weir"


@pytest.mark.parametrize(
    ("file", "name", "value"),
    [
        ("LimitedRecord", "PART_BYTES_MAX", topics.INPUT_BYTES_MAX),
        ("LimitedRecord", "HEADERS_MAX", shortened_dead_letter.HEADERS_MAX),
        ("ShortenedRecord", "HEADERS_MAX", shortened_dead_letter.HEADERS_MAX),
        ("ShortenedRecord", "LEFT_OUT_BYTES_MIN", shortened_dead_letter.LEFT_OUT_BYTES_MIN),
        ("Description", "HEAD_BYTES_MAX", shortened_dead_letter.HEAD_BYTES_MAX),
        ("RefusedRow", "REASON_HEADERS", len(dead_letter.HEADERS)),
    ],
)
def test_java_and_python_have_the_same_limits(file: str, name: str, value: int) -> None:
    source = (JAVA / f"{file}.java").read_text()
    (product,) = re.findall(rf"static final int {name} = ([\d_ *]+);", source)
    result = 1
    for factor in product.split("*"):
        result *= int(factor)
    assert result == value


def test_a_refused_row_has_the_headers_of_a_dead_letter() -> None:
    source = (JAVA / "RefusedRow.java").read_text()
    names = re.findall(r'add\(headers, "([a-z.]+)"', source)
    assert [f"__connect.errors.{name}" for name in names] == list(dead_letter.HEADERS.values())
