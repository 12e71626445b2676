from pathlib import Path
from typing import Any

import pytest

from infra.cli.failures import UsageError
from infra.cli.training_data import Source, Wanted, dataset_maker
from schemas.settings import Settings
from training.datasets import build as dataset_build
from training.datasets.build import Dataset

DAYS = {"first_ms": 1, "end_ms": 9}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What was asked to make a data set, and of what."""
    calls: list[tuple[str, Any]] = []

    def recording(name: str) -> Any:
        def make(_: Settings, *arguments: object, **named: object) -> None:
            calls.append((name, arguments or named))

        return make

    for name in ("build_dataset", "newest_dataset", "rebuild_dataset"):
        monkeypatch.setattr(dataset_build, name, recording(name))
    return calls


def make(wanted: Wanted) -> Dataset | None:
    maker = dataset_maker(Settings(), wanted)
    return None if maker is None else maker()


def test_the_newest_90_days_are_meant_unless_others_are_named(
    made: list[tuple[str, Any]], tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    report.write_text("{}")
    for wanted in (Wanted(), Wanted(days=7), Wanted(**DAYS), Wanted(report=report)):
        make(wanted)
    assert made == [
        ("newest_dataset", {"days": 90}),
        ("newest_dataset", {"days": 7}),
        ("build_dataset", DAYS),
        ("rebuild_dataset", ("{}",)),
    ]


@pytest.mark.parametrize("source", [Source.LOG, Source.ARCHIVE])
def test_log_and_archive_need_no_data_set(source: Source) -> None:
    assert dataset_maker(Settings(), Wanted(source=source, keep_immature=True)) is None


def test_days_move_on_with_every_training(made: list[tuple[str, Any]]) -> None:
    make(Wanted(is_repeated=True))
    make(Wanted(is_repeated=True, days=30))
    assert [of[1]["days"] for of in made] == [90, 30]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(first_ms=1), "--from and --until go together"),
        (Wanted(end_ms=9), "--from and --until go together"),
        (Wanted(**DAYS, days=7), "--from and --until and --days each name a data set"),
        (Wanted(days=7, report=Path("r")), "--dataset and --days each name a data set"),
        (Wanted(source=Source.LOG, days=7), "leave --source log out"),
        (Wanted(source=Source.ARCHIVE, **DAYS), "leave --source archive out"),
        (Wanted(keep_immature=True), "--keep-immature goes with --source log or archive"),
        (Wanted(is_repeated=True, **DAYS), "with --every give --days"),
        (Wanted(is_repeated=True, report=Path("r")), "with --every give --days"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_options_that_do_not_go_together_are_refused_by_name(wanted: Wanted, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        dataset_maker(Settings(), wanted)
