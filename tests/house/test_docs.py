"""What the documents claim is what the code says: a page that drifts fails the build.

Each failure says what to write and where. Programs shown on the pages are run by
`tests/integration/test_doc_examples.py`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from typer.main import get_command

from features import batch, definitions
from features.online import layout as online_store
from infra.cli.main import app as command_line
from infra.cli.run_tracker import RunSummary
from infra.local import programs
from infra.local.layout import Layout
from models.heuristic import RULES
from schemas import dead_letter, topics
from schemas.codec import decode_transaction
from schemas.decision import Decision
from schemas.errors import InvalidEventError
from schemas.label import Label
from schemas.settings import Settings
from schemas.transaction import Transaction
from scoring.core import ad_hoc, decide
from scoring.http.app import router
from scoring.http.metrics import API_METRICS
from scoring.metrics import METRICS, MetricSpec
from tests.builders import LIMITS, NOW_MS, transaction_object
from tests.house import pages

PAGES = pages.page_names()

MINUS = "\N{MINUS SIGN}"

# Variables that programs of ours set or read, and that are no settings.
OTHER_VARIABLES = {
    programs.STACK_VARIABLE,
    "WEIR_BIN",  # read by the commands of infra/airflow
}


def reference(heading: str) -> list[list[str]]:
    return pages.table(pages.section(pages.page("docs/reference.md"), heading))


def lines(rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def assert_rows(found: list[list[str]], wanted: list[list[str]], where: str) -> None:
    assert found == wanted, f"the table in {where} should be:\n{lines(wanted)}"


# --- tables that repeat the code -------------------------------------------------------


def duration(duration_ms: int) -> str:
    return definitions.duration_name(duration_ms)


def feature_row(feature: definitions.Velocity) -> list[str]:
    delay = f" {MINUS} {duration(feature.delay_ms)}" if feature.delay_ms else ""
    window = f"(t{delay} {MINUS} {duration(feature.window_ms)}, t{delay}]"
    unit = {
        "count": "transactions",
        "sum": "minor units",
        "mean": "minor units, or null",
        "distinct": "merchants",
        "rate": "share, 0 to 1",
    }[feature.aggregate]
    return [f"`{feature.name}`", f"{feature.entity}", window, unit, feature.value_type]


def test_every_feature_is_in_the_features_page_with_its_window() -> None:
    velocity = (*definitions.USER_FEATURES, *definitions.MERCHANT_FEATURES)
    on_demand = [
        [f"`{feature.name}`", "the event", "", feature.meaning, feature.value_type]
        for feature in definitions.ON_DEMAND_FEATURES
    ]
    text = pages.section(pages.page("docs/features.md"), "All features")
    assert_rows(
        pages.table(text),
        [*map(feature_row, velocity), *on_demand],
        "docs/features.md, All features",
    )


def test_every_batch_feature_is_in_the_features_page() -> None:
    text = pages.section(pages.page("docs/features.md"), "Batch features")
    assert [row[0] for row in pages.table(text)] == [f"`{name}`" for name in batch.BATCH_NAMES]


def test_every_view_of_feast_is_in_the_features_page() -> None:
    text = pages.section(pages.page("docs/features.md"), "Feast")
    wanted = [*online_store.VIEWS.values(), batch.BATCH_VIEW, batch.LABEL_VIEW, "event_calendar"]
    assert [row[0] for row in pages.table(text)] == [f"`{name}`" for name in wanted]


def test_every_cap_is_in_the_features_page_with_its_value() -> None:
    text = pages.section(pages.page("docs/features.md"), "Caps and tiles")
    found = {row[0]: row[1] for row in pages.table(text)}
    caps = definitions.CAPS
    wanted = {f"`{name}`": f"{getattr(caps, name):,}" for name in caps.__dataclass_fields__}
    assert found == wanted


def test_limits_in_words_are_those_of_the_definitions() -> None:
    text = pages.page("docs/features.md")
    for limit_ms, words in (
        (definitions.LATENESS_MS, "up to {} older than its key's newest event"),
        (definitions.IDENTITY_MS, "more than {} of event time past the newest event"),
        (definitions.LABEL_WAIT_MS, "more than {} past the label's observed time"),
    ):
        assert words.format(days(limit_ms)) in " ".join(text.split())
    assert f"1/{definitions.TILES_PER_WINDOW} of its window" in text


def days(duration_ms: int) -> str:
    count, rest_ms = divmod(duration_ms, definitions.DAY_MS)
    assert rest_ms == 0
    return "one day" if count == 1 else f"{count} days"


def test_every_setting_is_in_the_reference_with_default_and_meaning() -> None:
    defaults = Settings.model_construct()
    wanted = [
        [f"`WEIR_{name.upper()}`", default_of(name, defaults), str(field.description)]
        for name, field in Settings.model_fields.items()
    ]
    assert_rows(reference("Settings"), wanted, "docs/reference.md, Settings")


def default_of(name: str, defaults: Settings) -> str:
    field = Settings.model_fields[name]
    if name == "archive_url":
        return "`archive` in the data directory"
    if field.default_factory is not None:
        return "follows its port"
    return f"`{getattr(defaults, name)}`"


def test_every_topic_is_in_the_reference_with_its_key() -> None:
    wanted = [
        [
            f"`{topic.name}`",
            f"`{topic.key}`" if topic.key else "as it came",
            f"`{topic.event_type}`" if topic.event_type else "any",
        ]
        for topic in topics.TOPICS
    ]
    assert_rows([row[:3] for row in reference("Topics")], wanted, "docs/reference.md, Topics")


def test_every_header_is_in_the_reference() -> None:
    cloud_events = topics.cloud_event_headers(event_type="t", event_id="i", source="s", time_ms=0)
    wanted = {topics.HEADER_REPLAY, *dict(cloud_events), *dead_letter.HEADERS.values()}
    assert {row[0].strip("`") for row in reference("Headers")} == wanted


def test_every_metric_is_in_the_reference_with_what_to_do() -> None:
    assert_rows(reference("Metrics"), metric_rows(), "docs/reference.md, Metrics")


def metric_rows() -> list[list[str]]:
    specs = (*METRICS.values(), *API_METRICS.values())
    return [[metric_name(spec), spec.kind, spec.meaning, spec.action] for spec in specs]


def metric_name(spec: MetricSpec) -> str:
    labels = f"{{{', '.join(spec.labels)}}}" if spec.labels else ""
    return f"`{spec.name}{'_total' if spec.kind == 'counter' else ''}{labels}`"


def test_every_error_class_is_in_the_reference_with_its_module() -> None:
    found = {(row[0].strip("`"), row[1].strip("`")) for row in reference("Errors")}
    wanted = {(error.name, error.module) for error in pages.error_classes()}
    assert found == wanted


def test_every_rule_of_the_heuristic_is_in_the_training_page() -> None:
    wanted = [
        [f"`{rule.feature}`", f"{rule.low:,}", f"{rule.high:,}", f"{rule.weight:,}"]
        for rule in RULES
    ]
    text = pages.section(pages.page("docs/training.md"), "The heuristic")
    assert_rows(pages.table(text), wanted, "docs/training.md, The heuristic")


def test_every_route_is_in_the_reference() -> None:
    assert_rows(reference("HTTP API"), route_rows(), "docs/reference.md, HTTP API")


def route_rows() -> list[list[str]]:
    """Method, path without converters, and summary of each route that is in the schema."""
    return [
        [f"`{' '.join(route.methods)} {re.sub(r':[a-z]+}', '}', route.path)}`", str(route.summary)]
        for route in router.routes
        if isinstance(route, APIRoute) and route.include_in_schema
    ]


def test_every_field_of_the_demo_is_in_the_readme_in_its_order() -> None:
    rows = pages.table(pages.section(pages.page("README.md"), "What you see"))
    named = [name for row in rows for name in pages.spans(row[0])]
    assert named == [field.name for field in fields(RunSummary)]


def test_every_command_is_in_the_reference() -> None:
    wanted = {f"`weir {name}`" for name, _ in commands()}
    assert {row[0] for row in reference("Commands")} == wanted


def commands() -> Iterator[tuple[str, set[str]]]:
    """Every command of `weir`, groups resolved, with its options."""
    yield from _commands_of("", get_command(command_line))


def _commands_of(prefix: str, command: object) -> Iterator[tuple[str, set[str]]]:
    for name, child in getattr(command, "commands", {}).items():
        if hasattr(child, "commands"):
            yield from _commands_of(f"{prefix}{name} ", child)
        else:
            yield prefix + name, {option for param in child.params for option in param.opts}


# --- the producers' page ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("What to send", Transaction),
        ("Fraud reports", Label),
        ("What comes back", Decision),
    ],
)
def test_every_field_on_the_wire_is_on_the_producers_page(heading: str, kind: type) -> None:
    rows = pages.table(pages.section(pages.page("docs/producers.md"), heading))
    named = {name for row in rows for name in pages.spans(row[0])}
    assert named == {field.name for field in fields(kind)}


def test_what_is_refused_is_refused_with_the_words_on_the_producers_page() -> None:
    section = pages.section(pages.page("docs/producers.md"), "What is refused")
    rows = [row for row in pages.table(section) if row[0].startswith('`"')]
    assert len(rows) > 5
    for sent, message in rows:
        body = {**transaction_object(), **json.loads(f"{{{sent.strip('`')}}}")}
        with pytest.raises(InvalidEventError, match=f"^{re.escape(message)}$"):
            decode_transaction(
                json.dumps(body).encode(), limits=LIMITS, now_ms=NOW_MS, is_replay=False
            )


def test_the_transaction_on_the_producers_page_is_valid() -> None:
    section = pages.section(pages.page("docs/producers.md"), "What to send")
    language, body = pages.fences(section)[0]
    assert language == "json"
    decode_transaction(body.encode(), limits=LIMITS, now_ms=NOW_MS, is_replay=False)


@pytest.mark.parametrize(
    ("module", "name", "heading"),
    [
        (decide, "docs/training.md", "What decides"),
        (ad_hoc, "docs/reference.md", "HTTP API"),
    ],
    ids=["stream", "http"],
)
def test_every_word_of_degraded_is_explained(module: object, name: str, heading: str) -> None:
    constants = {key: value for key, value in vars(module).items() if key.startswith("DEGRADED_")}
    assert len(constants) >= 2
    explained = set(pages.spans(pages.section(pages.page(name), heading)))
    assert set(constants.values()) <= explained


def test_every_program_of_the_stack_has_its_place_among_the_failures(tmp_path: Path) -> None:
    headings = [line[3:].lower() for line in _headings(pages.page("docs/failures.md"))]
    layout = Layout(repo=pages.REPO, data_dir=tmp_path)
    names = [program.name for program in programs.programs(Settings(), layout)]
    assert len(names) > 5
    missing = [n for n in names if not any(n.replace("-", " ") in h for h in headings)]
    assert missing == []


def _headings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("## ")]


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


@pytest.mark.parametrize("name", PAGES)
def test_every_weir_command_named_on_a_page_exists(name: str) -> None:
    known = dict(commands())
    wrong = []
    for code in code_of(name):
        found = re.match(r"^\W*(?:\.venv/bin/)?weir ((?:[a-z]+ ?)+)", code)
        if found is None:
            continue
        words = found[1].split()
        groups = {name.split()[0] for name in known if " " in name}
        if " ".join(words) in groups:
            continue
        command = next((c for c in (" ".join(words[:2]), words[0]) if c in known), None)
        options = set(re.findall(r" (--[a-z-]+)", code))
        if command is None or not options <= known[command] | {"--help"}:
            wrong.append(code)
    assert wrong == []


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
