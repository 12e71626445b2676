"""The page of figures shows what was measured and nothing else."""

from tests.bench import results
from tests.bench.report import with_tables

PAGE = results.FILE.parent / "README.md"


def test_the_tables_are_those_of_the_results() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_tables(text, results.read(results.FILE), PAGE.parent) == text, (
        "run `PYTHONPATH=. .venv/bin/python -m tests.bench.report`"
    )
