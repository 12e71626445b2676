"""The schema files are those of the types and are compatible with the last release."""

import dataclasses
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import pytest
from jsonschema import Draft202012Validator, ValidationError

from schemas.codec import encode_label
from schemas.dead_letter import dead_letter_headers
from schemas.decision import PolicyRef, RolloutRef
from schemas.fields import Keywords
from schemas.json_schema import (
    DIRECTORY,
    all_schemas,
    complaints,
    last_release,
    main,
    rendered,
    schema_of,
    write,
)
from schemas.output_codec import encode_decision, encode_feature_row
from schemas.rollout_codec import encode_rollout_change
from scoring.core.rollout_changes import paused
from tests.builders import (
    DECISION,
    FEATURE_ROW,
    LABEL,
    TRANSACTION,
    label_object,
    transaction,
    transaction_object,
    without,
)
from tests.rollout_builders import rollout, start_of
from tests.rollout_steps import author

SCHEMAS = all_schemas()
VALIDATORS = {name: Draft202012Validator(schema) for name, schema in SCHEMAS.items()}
RELEASED = ("transaction", "label", "feature-row", "decision", "dead-letter-headers")
NAMES = (*RELEASED, "rollout-change")


IN_ARM = dataclasses.replace(
    DECISION,
    rollout=RolloutRef("r-1", 3),
    arm="challenger",
    propensity=0.05,
    policy=PolicyRef("let_through", 0.01),
    model_ms=1.25,
)
WITHOUT_VECTOR = dataclasses.replace(
    DECISION,
    vector=None,
    inputs={"amount_minor": 1_999, "ip_country": "DE"},
    vector_spec="0123456789abcdef",
    vector_digest="fedcba9876543210",
)


def examples() -> dict[str, list[Any]]:
    """Valid JSON of each schema."""
    bare = transaction(device_type=None, ip_country=None)
    headers = dead_letter_headers(
        topic="labels", partition=0, offset=1, stage="decode", error=ValueError("")
    )
    return {
        "transaction": [TRANSACTION.to_wire(), bare.to_wire()],
        "label": [orjson.loads(encode_label(LABEL))],
        "feature-row": [
            orjson.loads(encode_feature_row(row))
            for row in (FEATURE_ROW, dataclasses.replace(FEATURE_ROW, transaction=bare))
        ],
        "decision": [
            orjson.loads(encode_decision(decision))
            for decision in (
                *(DECISION, dataclasses.replace(DECISION, vector=None), WITHOUT_VECTOR, IN_ARM),
            )
        ],
        "rollout-change": [
            orjson.loads(encode_rollout_change(change))
            for change in (start_of(rollout("canary")), paused(rollout("bandit"), author()))
        ],
        "dead-letter-headers": [{name: value.decode() for name, value in headers}],
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_file_of_each_schema_is_what_its_type_gives(name: str) -> None:
    expected = rendered(SCHEMAS[name])
    assert (DIRECTORY / f"{name}.json").read_bytes() == expected, (
        "run python -m schemas.json_schema --write"
    )


def test_there_is_a_file_for_each_schema_and_no_other() -> None:
    assert sorted(path.stem for path in DIRECTORY.glob("*.json")) == sorted(NAMES)
    assert sorted(SCHEMAS) == sorted(NAMES)


def test_nothing_breaks_the_last_release() -> None:
    assert complaints() == []


def test_the_last_release_has_all_its_schemas() -> None:
    released_in_v1 = sorted(path.stem for path in (DIRECTORY / "released/v1").glob("*.json"))
    assert released_in_v1 == sorted(RELEASED)


@pytest.mark.parametrize("name", NAMES)
def test_each_schema_is_a_good_schema_and_takes_what_we_write(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    for example in examples()[name]:
        VALIDATORS[name].validate(example)
        VALIDATORS[name].validate({**example, "unknown": [1, {"a": None}]})


@pytest.mark.parametrize("name", RELEASED)
def test_a_reader_with_the_released_schema_takes_what_we_write(name: str) -> None:
    released = orjson.loads((DIRECTORY / f"released/v1/{name}.json").read_bytes())
    for example in examples()[name]:
        Draft202012Validator(released).validate(example)


@pytest.mark.parametrize("name", NAMES)
def test_each_schema_refuses_a_record_without_a_required_field(name: str) -> None:
    for field in SCHEMAS[name]["required"]:
        with pytest.raises(ValidationError, match="is a required property"):
            VALIDATORS[name].validate(without(examples()[name][0], field))


@pytest.mark.parametrize(
    "changes",
    [
        {"user_id": ""},
        {"user_id": " "},
        {"user_id": "a\x00"},
        {"user_id": "a\nb"},
        {"user_id": "x" * 129},
        {"user_id": 5},
        {"amount_minor": -1},
        {"amount_minor": 1.5},
        {"amount_minor": True},
        {"currency": "eur"},
        {"event_time_ms": "now"},
        {"event_time_ms": 253_402_300_800_000},
        {"device_type": "x" * 65},
        {"ip_country": "DEU"},
    ],
    ids=repr,
)
def test_the_schema_of_a_transaction_refuses_what_the_codec_refuses(
    changes: dict[str, Any],
) -> None:
    with pytest.raises(ValidationError):
        VALIDATORS["transaction"].validate(transaction_object(**changes))


def test_the_schema_of_a_label_refuses_another_word_for_true() -> None:
    with pytest.raises(ValidationError):
        VALIDATORS["label"].validate(label_object(is_fraud="yes"))


def test_every_field_has_a_description() -> None:
    def undescribed(schema: dict[str, Any], path: str) -> list[str]:
        found = [] if "description" in schema else [path]
        for name, inner in schema.get("properties", {}).items():
            found += undescribed(inner, f"{path}.{name}")
        return found

    assert [path for name, schema in SCHEMAS.items() for path in undescribed(schema, name)] == []


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (str, {"type": "string"}),
        (bool, {"type": "boolean"}),
        (int | None, {"type": ["integer", "null"]}),
        (int | float | None, {"type": ["number", "null"]}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (tuple[str, ...], {"type": "array", "items": {"type": "string"}}),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (Literal["A", "B"], {"type": "string", "enum": ["A", "B"]}),
        pytest.param(
            Annotated[Annotated[int, Keywords(minimum=0)] | None, "How many."],
            {"type": ["integer", "null"], "minimum": 0, "description": "How many."},
            id="a described optional with a limit",  # its repr would hold an address
        ),
    ],
    ids=repr,
)
def test_a_type_hint_becomes_its_schema(hint: Any, expected: dict[str, Any]) -> None:
    assert schema_of(hint) == expected


@pytest.mark.parametrize("hint", [bytes, complex, set[int]], ids=repr)
def test_a_type_hint_without_a_schema_is_refused(hint: Any) -> None:
    with pytest.raises(TypeError, match="no JSON Schema for"):
        schema_of(hint)


def test_a_union_of_two_types_with_limits_of_their_own_is_refused() -> None:
    short = Annotated[str, Keywords(maxLength=3)]
    long = Annotated[str, Keywords(maxLength=9)]
    with pytest.raises(TypeError, match="union"):
        schema_of(short | long)


def test_files_that_differ_or_break_the_release_are_named(tmp_path: Path) -> None:
    shutil.copytree(DIRECTORY, tmp_path, dirs_exist_ok=True)
    assert complaints(tmp_path) == []

    (tmp_path / "label.json").unlink()
    (tmp_path / "decision.json").write_bytes(b"{}\n")
    released = tmp_path / "released/v1/transaction.json"
    schema = orjson.loads(released.read_bytes())
    schema["properties"]["shop_id"] = {"type": "string"}
    released.write_bytes(rendered(schema))
    (tmp_path / "released/v1/refund.json").write_bytes(b"{}")

    assert complaints(tmp_path) == [
        "label.json differs from its type; run python -m schemas.json_schema --write",
        "decision.json differs from its type; run python -m schemas.json_schema --write",
        "refund: released, and now missing",
        "transaction: .shop_id: gone",
    ]


def test_what_is_written_is_complete(tmp_path: Path) -> None:
    shutil.copytree(DIRECTORY / "released", tmp_path / "released")
    write(tmp_path)
    assert complaints(tmp_path) == []


def test_the_release_with_the_largest_number_is_the_last(tmp_path: Path) -> None:
    for name in ("v1", "v2", "v10"):
        (tmp_path / "released" / name).mkdir(parents=True)
    assert last_release(tmp_path).name == "v10"


def test_the_command_says_nothing_and_ends_with_zero_when_all_is_well(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == ""


def test_the_command_names_what_is_wrong_and_ends_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("schemas.json_schema.complaints", lambda: ["label: .is_fraud: gone"])
    assert main([]) == 1
    assert capsys.readouterr().out == "label: .is_fraud: gone\n"
