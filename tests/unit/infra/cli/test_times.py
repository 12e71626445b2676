import pytest

from infra.cli.failures import UsageError
from infra.cli.times import parse_duration_ms, parse_moment_ms


@pytest.mark.parametrize("text", ["", "0d", "1", "d", "1.5h", "-1d", "1w", "1d ", "9999999d"])
def test_a_text_that_is_not_a_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="write 90s, 30m, 6h or 1d"):
        parse_duration_ms(text)


@pytest.mark.parametrize(
    ("text", "wanted_ms"),
    [
        (None, None),
        ("1970-01-02", 86_400_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.250", 250),
    ],
)
def test_a_day_or_a_moment_is_utc_unless_it_says_otherwise(
    text: str | None, wanted_ms: int | None
) -> None:
    assert parse_moment_ms("--from", text) == wanted_ms
