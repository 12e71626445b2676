"""The tables on the pages are those of the code: features, settings, topics, metrics, fields.

Each failure prints the table as it should be, and says on which page it is.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from features import batch, definitions
from features.online import layout as online_store
from infra.local import programs
from infra.local.layout import Layout
from infra.simulation.run_summary import RunSummary
from models.heuristic import RULES
from operations.rollouts.controller.metrics import CONTROLLER_METRICS
from schemas import dead_letter, topics
from schemas.codec import decode_transaction
from schemas.decision import Decision
from schemas.errors import InvalidEventError
from schemas.label import Label
from schemas.settings import Settings
from schemas.shortened_dead_letter import SHORTENED_HEADERS
from schemas.transaction import Transaction
from scoring.core import ad_hoc, decide
from scoring.http.metrics import API_METRICS
from scoring.http.routes import ROUTERS
from scoring.metrics import METRICS, MetricSpec
from tests.builders import LIMITS, NOW_MS, transaction_object
from tests.house import pages
from tests.house.commands import commands

MINUS = "\N{MINUS SIGN}"


def reference(heading: str) -> list[list[str]]:
    return pages.table(pages.section(pages.page("docs/reference.md"), heading))


def lines(rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def assert_rows(found: list[list[str]], wanted: list[list[str]], where: str) -> None:
    assert found == wanted, f"the table in {where} should be:\n{lines(wanted)}"


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
    of_batch = [view.name for view in batch.BATCH_VIEWS]
    wanted = [*online_store.VIEWS.values(), *of_batch, batch.LABEL_VIEW, "event_calendar"]
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
    wanted = {
        *(topics.HEADER_REPLAY, topics.HEADER_LABELLED_BY, topics.HEADER_CORRECTS),
        topics.HEADER_CONTROL,
        *topics.PASSED_ON_HEADERS,
        *(*dict(cloud_events), *dead_letter.HEADERS.values(), *SHORTENED_HEADERS),
    }
    assert {row[0].strip("`") for row in reference("Headers")} == wanted


def test_every_metric_is_in_the_reference_with_what_to_do() -> None:
    assert_rows(reference("Metrics"), metric_rows(), "docs/reference.md, Metrics")


def metric_rows() -> list[list[str]]:
    specs = (*METRICS.values(), *API_METRICS.values(), *CONTROLLER_METRICS.values())
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
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and router.include_in_schema
    ]


def test_every_field_of_the_demo_is_in_the_readme_in_its_order() -> None:
    rows = pages.table(pages.section(pages.page("README.md"), "What you see"))
    named = [name for row in rows for name in pages.spans(row[0])]
    assert named == [field.name for field in fields(RunSummary)]


def test_every_command_is_in_the_reference() -> None:
    wanted = {f"`weir {name}`" for name in commands()}
    assert {row[0] for row in reference("Commands")} == wanted


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
