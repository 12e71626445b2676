"""What the documents name is there: links, tests, commands, variables, paths, pictures.

Each failure says what to write and where. The tables of the pages are in `test_doc_tables.py`,
references to code in `test_references.py`; programs shown on the pages are run by
`tests/integration/test_doc_examples.py`.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from infra.local import programs
from schemas.settings import Settings
from tests.house import pages
from tests.house.commands import fault_of, written_commands

PAGES = pages.page_names()

# Variables that programs of ours set or read, and that are no settings.
OTHER_VARIABLES = {
    programs.STACK_VARIABLE,
    "WEIR_API_KEY",  # the key that `weir predict` sends
    "WEIR_MODEL_PATH",  # read by the function of AWS Lambda
    "WEIR_BIN",  # read by the commands of infra/airflow
    "WEIR_DAG_MODELS",  # read by infra/airflow itself
    "WEIR_GATHER_MS",  # the changelog gives the former name of a setting
}


# --- names that must exist -------------------------------------------------------------


def test_every_path_named_in_the_architecture_exists() -> None:
    text = pages.page("ARCHITECTURE.md")
    named = [span for span in pages.spans(text) if re.fullmatch(r"\.?\w[\w.-]*(/[\w.-]*)+", span)]
    assert len(named) > 20
    assert [path for path in named if not (pages.REPO / path).exists()] == []


def test_every_folder_with_code_has_its_paragraph_in_the_code_map() -> None:
    code_map = pages.section(pages.page("ARCHITECTURE.md"), "Code map")
    named = set(pages.spans(code_map))
    missing = [folder for folder in pages.folders() if folder not in named]
    assert missing == [], "write a paragraph for each in ARCHITECTURE.md, Code map"


@pytest.mark.parametrize("name", PAGES)
def test_every_link_resolves(name: str) -> None:
    broken = [target for target in pages.links(pages.page(name)) if not resolves(name, target)]
    assert broken == []


def resolves(name: str, target: str) -> bool:
    if target.startswith("https://"):
        return True
    path, _, anchor = target.partition("#")
    file = (pages.REPO / name).parent / path if path else pages.REPO / name
    if not file.exists():
        return False
    return not anchor or anchor in pages.anchors(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PAGES)
def test_every_test_named_on_a_page_exists(name: str) -> None:
    missing = []
    for span in pages.spans(pages.page(name)):
        path, _, function = span.partition("::")
        if not re.fullmatch(r"tests/[\w/]+\.py", path):
            continue
        exists = (pages.REPO / path).is_file()
        if not exists or (function and function not in pages.functions_of(path)):
            missing.append(span)
    assert missing == []


@pytest.mark.parametrize("name", PAGES)
def test_every_make_target_named_on_a_page_exists(name: str) -> None:
    makefile = pages.page("Makefile")
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))
    named = {
        match for code in code_of(name) for match in re.findall(r"^\W*make ([a-z][\w-]*)", code)
    }
    assert named <= targets


@pytest.mark.parametrize("name", [*PAGES, "native/README.md"])
def test_the_command_line_accepts_every_weir_command_on_a_page(name: str) -> None:
    text = pages.page(name)
    named = [(span, False) for span in pages.wrapped_spans(text)]
    shown = [(code, True) for _, code in pages.fences(text)]
    faults = {
        written: fault
        for code, is_complete in (*named, *shown)
        for written in written_commands(code)
        if (fault := fault_of(written, is_complete=is_complete))
    }
    assert faults == {}, "correct the command on the page"


def test_the_command_line_accepts_every_weir_command_in_a_message_or_docstring() -> None:
    faults = {}
    for module in pages.modules():
        # A message may go on in the next line, and name values that are known only when it is made.
        text = re.sub(r'"\n\s*f?"', "", pages.page(module))
        for span in pages.spans(text):
            for written in written_commands(re.sub(r"{[^}]*}", "1", span)):
                if fault := fault_of(written, is_complete=False):
                    faults[module] = (written, fault)
    assert faults == {}, "correct the command in the module"


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("train --from archive", "BadParameter: "),
        ("train --no-such-option", "NoSuchOption: "),
        ("no-such-command", "there is no command 'no-such-command'"),
        ("models no-such-command", "there is no command 'no-such-command'"),
        ("status surplus", "UsageError: "),
        ("replay", "MissingParameter: "),
        ("simulate --rate", "BadOptionUsage: "),
        ("simulate --rate fast", "BadParameter: "),
    ],
)
def test_a_command_that_would_not_run_is_found(written: str, fault: str) -> None:
    assert (fault_of(written, is_complete=True) or "").startswith(fault)


def test_a_sentence_may_name_a_command_without_its_arguments() -> None:
    for written in ("replay", "simulate --rate", "models", "COMMAND --help", "train --help"):
        assert fault_of(written, is_complete=False) is None


def test_commands_are_found_after_variables_and_other_commands_and_over_two_lines() -> None:
    code = (
        "WEIR_API_PORT=1 .venv/bin/weir decisions \\\n  --json | jq .\nweir up && weir status  # x"
    )
    assert list(written_commands(code)) == ["decisions --json", "up", "status"]


def test_a_command_over_two_lines_of_a_sentence_is_found() -> None:
    spans = pages.wrapped_spans("Run `weir\n  train --from archive`, or\n`b`.")
    assert spans == ["weir train --from archive", "b"]


def code_of(name: str) -> list[str]:
    """Every span and every line of every code block of a page."""
    text = pages.page(name)
    return [
        *pages.spans(text),
        *(line for _, code in pages.fences(text) for line in code.splitlines()),
    ]


@pytest.mark.parametrize("name", PAGES)
def test_every_variable_named_on_a_page_is_a_setting(name: str) -> None:
    known = {f"WEIR_{field.upper()}" for field in Settings.model_fields} | OTHER_VARIABLES
    assert set(re.findall(r"\bWEIR_[A-Z_]*[A-Z]\b", pages.page(name))) <= known


# --- pictures and code -----------------------------------------------------------------


def test_the_picture_is_the_same_in_readme_and_architecture() -> None:
    first = pages.fences(pages.page("README.md"))[0]
    assert "features" in first[1]
    assert first in pages.fences(pages.page("ARCHITECTURE.md"))


def test_the_layers_drawn_are_those_import_linter_checks() -> None:
    configuration = tomllib.loads(pages.page("pyproject.toml"))["tool"]["importlinter"]
    layers = next(c["layers"] for c in configuration["contracts"] if c["type"] == "layers")
    wanted = [sorted(re.findall(r"\w+", layer)) for layer in layers]
    _, drawn = pages.fences(pages.section(pages.page("ARCHITECTURE.md"), "Layers"))[0]
    names = {name for layer in wanted for name in layer}
    found = [sorted(names & set(re.findall(r"\w+", line))) for line in drawn.splitlines()]
    assert [layer for layer in found if layer] == wanted


def test_code_on_the_pages_is_the_code_in_examples() -> None:
    shown: dict[str, str] = {}
    for name in PAGES:
        shown.update(pages.included_examples(pages.page(name)))
    files = {
        str(path.relative_to(pages.REPO)): path.read_text(encoding="utf-8")
        for path in (pages.REPO / "docs" / "examples").iterdir()
        if path.suffix in (".py", ".sh")
    }
    assert shown == files


def test_the_first_screen_of_the_readme_has_sentence_and_picture() -> None:
    first_screen = "\n".join(pages.page("README.md").splitlines()[:30])
    assert len(pages.fences(first_screen)) >= 1


@pytest.mark.parametrize("name", PAGES)
def test_no_page_is_unfinished(name: str) -> None:
    assert re.findall(r"@@\w*|TODO|TBD|FIXME", pages.page(name)) == []


@pytest.mark.parametrize("name", PAGES)
def test_no_page_names_a_machine(name: str) -> None:
    text = pages.page(name)
    assert re.findall(r"(?:/home/|/root\b|/work/|/tmp/)\S*", text) == []
    assert not re.search(r"pypi\.org|repo\.maven|deb\.debian", text)


def test_every_decision_record_is_in_the_list() -> None:
    listed = set(pages.links(pages.page("docs/adr/README.md")))
    records = {path.name for path in (pages.REPO / "docs" / "adr").glob("[0-9]*.md")}
    assert listed == records


@pytest.mark.parametrize("path", sorted((pages.REPO / "docs" / "adr").glob("[0-9]*.md")), ids=str)
def test_a_decision_record_has_its_four_parts_on_one_page(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == ["Context", "Decision", "Measured", "Consequences"]
    assert text.startswith(f"# {path.name[:4]}. ")
    assert len(text.splitlines()) <= 70
