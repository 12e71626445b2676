from typing import Any

import pytest

from operations.training_run import rows as training_rows
from operations.training_run.request import Rows
from operations.training_run.rows import make_dataset
from schemas.settings import Settings


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Which function was asked to make a data set, and of what."""
    calls: list[tuple[str, Any]] = []

    def recording(name: str) -> Any:
        def make(_: Settings, *arguments: object, **named: object) -> None:
            calls.append((name, arguments or named))

        return make

    for name in ("build_dataset", "newest_dataset", "rebuild_dataset"):
        monkeypatch.setattr(training_rows, name, recording(name))
    # No Kafka and no archive here; tests/integration/test_dataset_build.py has both.
    monkeypatch.setattr(training_rows, "bring_up_to_date", lambda _: None)
    return calls


def test_a_report_wins_over_a_range_and_a_range_over_days(made: list[tuple[str, Any]]) -> None:
    for rows in (Rows(days=7), Rows(first_ms=1, end_ms=9), Rows(first_ms=1, end_ms=9, report="{}")):
        make_dataset(Settings(), rows, now_ms=100)
    assert made == [
        ("newest_dataset", {"days": 7, "as_of_ms": 100}),
        ("build_dataset", {"first_ms": 1, "end_ms": 9, "as_of_ms": 100}),
        ("rebuild_dataset", ("{}",)),
    ]


def test_an_as_of_is_taken_if_it_is_not_after_the_clock(made: list[tuple[str, Any]]) -> None:
    for as_of_ms in (99, 101):
        make_dataset(Settings(), Rows(days=7, as_of_ms=as_of_ms), now_ms=100)
    assert [named["as_of_ms"] for _, named in made] == [99, 100]
