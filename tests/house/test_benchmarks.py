"""The page of figures shows what was measured and nothing else."""

from tests.bench import results, serving_modes_report
from tests.bench.report import FIRST_PAGE, SECTIONS, TARGETS_BEGIN, with_headlines, with_tables
from tests.bench.targets import TARGETS

PAGE = results.FILE.parent / "README.md"


def test_the_tables_are_those_of_the_results() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_tables(text, results.read(results.FILE), PAGE.parent) == text, (
        "run `PYTHONPATH=. .venv/bin/python -m tests.bench.report`"
    )


def test_the_figures_of_the_readme_are_those_of_the_results() -> None:
    text = FIRST_PAGE.read_text(encoding="utf-8")
    assert "p99" in with_headlines(text, results.read(results.FILE))
    assert with_headlines(text, results.read(results.FILE)) == text, (
        "run `PYTHONPATH=. .venv/bin/python -m tests.bench.report`"
    )


def test_the_page_has_the_targets_and_each_names_a_scenario_with_a_table() -> None:
    assert TARGETS_BEGIN in PAGE.read_text(encoding="utf-8")
    assert {target.scenario for target in TARGETS} <= set(SECTIONS)


def test_the_figures_of_the_ways_to_serve_are_those_of_the_results() -> None:
    page = serving_modes_report.PAGE
    text = page.read_text(encoding="utf-8")
    assert serving_modes_report.with_figures(text, results.read(results.FILE)) == text, (
        "run `PYTHONPATH=. .venv/bin/python -m tests.bench.report`"
    )
