import pytest

from infra.simulation.run_summary import percentile


@pytest.mark.parametrize(
    ("count", "percent", "expected"),
    [(1, 50.0, 1), (100, 50.0, 50), (100, 99.0, 99), (101, 99.0, 100), (1_000, 99.9, 999)],
)
def test_a_percentile_is_the_smallest_value_that_covers_the_share(
    count: int, percent: float, expected: int
) -> None:
    assert percentile([float(value) for value in range(1, count + 1)], percent) == expected


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile([], 99.0) is None
