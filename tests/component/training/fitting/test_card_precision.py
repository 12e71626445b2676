import pytest

from tests.judged_rows import rows
from training.fitting.figures import RankedRows, Thresholds


def test_card_precision_takes_a_hundred_cards_a_day_and_found_ones_leave() -> None:
    honest = [(day, f"h-{at}", 0.5, False) for day in (0, 1) for at in range(98)]
    table, scores = rows(
        *honest,
        (0, "first", 0.1, False),
        (0, "first", 0.9, True),  # ranked by its highest score: found, and gone on day 1
        (0, "second", 0.8, True),
        (0, "below", 0.2, True),  # the 101st card of the day
        (1, "first", 0.9, True),
        (1, "below", 0.2, True),  # the 99th, once the first has left
    )
    value = RankedRows(table, scores, Thresholds(0.5, 0.9)).figures(None)["card_precision_at_100"]
    assert value == pytest.approx((0.02 + 0.01) / 2)
