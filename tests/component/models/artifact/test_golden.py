import numpy as np
import pytest

from models.artifact.golden import TOLERANCE, GoldenRows

GOLDEN = GoldenRows(
    np.array([[1.0, np.nan], [0.1 + 0.2, -0.0], [1e300, 3.0]]), np.array([0.1, 0.2, 0.3])
)


def test_numbers_are_read_back_to_the_last_bit() -> None:
    again = GoldenRows.from_json(GOLDEN.to_json(), columns=2, of="model m version 3")
    assert again.rows.tobytes() == GOLDEN.rows.tobytes()
    assert again.scores.tobytes() == GOLDEN.scores.tobytes()


def test_a_difference_past_the_tolerance_is_described_with_its_row() -> None:
    assert GOLDEN.difference(GOLDEN.scores) is None
    assert GOLDEN.difference(GOLDEN.scores + 0.9 * TOLERANCE) is None
    difference = GOLDEN.difference(GOLDEN.scores + np.array([0, 1.1 * TOLERANCE, 0]))
    assert difference is not None
    assert difference.startswith("1 of 3 golden rows score differently, the first is row 1: 0.2")


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_a_score_that_is_no_number_is_a_difference(score: float) -> None:
    assert GOLDEN.difference(np.array([0.1, 0.2, score])) is not None
