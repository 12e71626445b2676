"""`from scoring import Scorer`: a model from a directory, without any service."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.artifact.files import ModelFiles
from models.artifact.load import load_model
from models.errors import GoldenRowsMismatchError, ModelRefusedError, SignatureMismatchError
from models.policy import Policy
from schemas.decision import Offset
from schemas.errors import InvalidEventError
from schemas.output_codec import encode_feature_row
from scoring import Scorer
from scoring.core.decide import decide
from scoring.embedded.model_directory import write_directory
from tests.builders import transaction_object
from tests.model_files import trained, with_golden, with_signature
from tests.scoring_fakes import feature_row

POLICY = Policy(review_threshold=0.5, block_threshold=0.9)
NEVER_LOADED = (
    *("mlflow", "sklearn", "numpy", "onnx", "onnxruntime", "pandas", "pydantic", "fastapi"),
    *("redis", "prometheus_client", "confluent_kafka", "aiokafka", "asyncio"),
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_directory(tmp_path, trained().files, name="weir-fraud", version="7")
    return tmp_path


def test_a_decision_is_that_of_the_services(directory: Path) -> None:
    files = trained().files
    model = load_model(files, name="weir-fraud", version="7", trees_digest=files.trees_digest)
    scorer = Scorer.load(directory)
    offset = Offset(partition=1, offset=41)
    for at in range(50):
        row = feature_row(f"t-{at}")
        expected = decide(row, model=model, policy=POLICY, features_offset=offset, now_ms=0)
        forms: tuple[Any, ...] = (row, encode_feature_row(row), encode_feature_row(row).decode())
        for form in (*forms, json.loads(encode_feature_row(row))):
            found = scorer.score(form, offset=offset)
            assert replace(found, decided_at_ms=0, timings={}) == replace(
                expected, decided_at_ms=0, timings={}
            )


def test_the_directory_weir_itself_is_a_model_too(directory: Path) -> None:
    assert Scorer.load(directory / "weir").model.ref == Scorer.load(directory).model.ref
    (directory / "weir" / "model.json").unlink()
    ref = Scorer.load(str(directory)).model.ref
    assert (ref.name, ref.version) == (directory.name, "local")


def test_without_a_model_the_heuristic_decides_and_says_so() -> None:
    assert Scorer.load(None).score(feature_row("t-1")).degraded == ("no_model",)


def test_a_transaction_alone_is_scored_as_that_of_a_new_user() -> None:
    scored = Scorer.load(None).score_transaction(
        transaction_object(event_time_ms=1_700_000_000_000)
    )
    assert scored.decision.features["user_transaction_count_5m"] == 1
    assert scored.decision.degraded == ("online_store_unavailable", "no_model")
    without_id = {**transaction_object(), "event_time_ms": 1_700_000_000_000}
    del without_id["transaction_id"]
    made_up = Scorer.load(None).score_transaction(without_id).decision.transaction_id
    assert made_up.startswith("adhoc-")


def test_what_is_no_row_or_no_transaction_is_refused() -> None:
    scorer = Scorer.load(None)
    for wrong in (b"", b"{", "[]", {}, {"transaction": {}}):
        with pytest.raises(InvalidEventError):
            scorer.score(wrong)
    with pytest.raises(InvalidEventError, match="amount_minor is -1"):
        scorer.score_transaction(transaction_object(amount_minor=-1))


def refused_files() -> dict[str, tuple[ModelFiles, type[ModelRefusedError]]]:
    files = trained().files
    return {
        "other definitions": (with_signature(files, definition_digest="0"), ModelRefusedError),
        "fewer columns": (
            with_signature(files, vector={"columns": ["amount_minor"], "categories": {}}),
            SignatureMismatchError,
        ),
        "no trees": (replace(files, trees=b"junk"), SignatureMismatchError),
        "other scores": (
            with_golden(files, scores=[0.25] * len(json.loads(files.golden)["scores"])),
            GoldenRowsMismatchError,
        ),
        "no golden rows": (with_golden(files, rows=[], scores=[]), GoldenRowsMismatchError),
        "golden rows of text": (with_golden(files, rows=["x"]), GoldenRowsMismatchError),
    }


@pytest.mark.parametrize("what", refused_files())
def test_a_model_that_would_not_score_as_in_training_is_refused(what: str, tmp_path: Path) -> None:
    files, error = refused_files()[what]
    write_directory(tmp_path, files, name="m", version="1")
    with pytest.raises(error):
        Scorer.load(tmp_path)


def test_a_file_that_is_missing_or_was_changed_is_named(directory: Path, tmp_path: Path) -> None:
    description = directory / "weir" / "model.json"
    description.write_text(json.dumps({"name": "m", "version": "1", "trees_digest": "0" * 16}))
    with pytest.raises(SignatureMismatchError, match="was changed after it was downloaded"):
        Scorer.load(directory)
    description.write_text("{}")
    with pytest.raises(SignatureMismatchError, match="does not describe a model"):
        Scorer.load(directory)
    with pytest.raises(SignatureMismatchError, match=r"no file weir/trees\.onnx"):
        Scorer.load(tmp_path / "nothing")


def test_nothing_slow_or_large_is_imported(directory: Path) -> None:
    program = f"""
import sys
from scoring import Scorer
from scoring.embedded import aws_handler, online_read
Scorer.load({str(directory)!r}).score({encode_feature_row(feature_row("t-1"))!r})
print(sorted(set({NEVER_LOADED!r}) & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"
