from pathlib import Path

import pytest

from infra.cli.failures import UsageError
from infra.cli.training_options import TrainingOptions
from operations.training_run.request import Rows, Source

DAYS = {"first_ms": 1, "end_ms": 9}


def test_the_most_recent_90_days_are_taken_unless_others_are_named(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text("{}")
    for options, rows in (
        (TrainingOptions(), Rows(days=90)),
        (TrainingOptions(days=7), Rows(days=7)),
        (TrainingOptions(**DAYS), Rows(**DAYS)),
        (TrainingOptions(as_of_ms=5), Rows(days=90, as_of_ms=5)),
        (TrainingOptions(report=report), Rows(report="{}")),
        (TrainingOptions(is_repeated=True), Rows(days=90)),
        (TrainingOptions(is_repeated=True, days=30), Rows(days=30)),
    ):
        assert options.rows() == rows


@pytest.mark.parametrize("source", [Source.LOG, Source.ARCHIVE])
def test_log_and_archive_may_have_young_rows(source: Source) -> None:
    options = TrainingOptions(source=source, keep_immature=True)
    assert options.rows() == Rows(source=source, keep_immature=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (TrainingOptions(first_ms=1), "--from and --until go together"),
        (TrainingOptions(end_ms=9), "--from and --until go together"),
        (TrainingOptions(**DAYS, days=7), "--from and --until and --days each name a data set"),
        (TrainingOptions(days=7, report=Path("r")), "--dataset and --days each name a data set"),
        (TrainingOptions(source=Source.LOG, days=7), "leave --source log out"),
        (TrainingOptions(source=Source.ARCHIVE, **DAYS), "leave --source archive out"),
        (TrainingOptions(keep_immature=True), "--keep-immature goes with --source log or archive"),
        (TrainingOptions(report=Path("r"), as_of_ms=5), "leave --as-of out"),
        (TrainingOptions(is_repeated=True, as_of_ms=5), "leave it out with --every"),
        (TrainingOptions(is_repeated=True, **DAYS), "with --every give --days"),
        (TrainingOptions(is_repeated=True, report=Path("r")), "with --every give --days"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_options_that_do_not_go_together_are_refused_by_name(
    options: TrainingOptions, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        options.rows()
