"""A part gets the scores that the stream gave, to the last bit, and the outcomes of the policy."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from features.engine.rows import read_rows
from models.artifact.load import load_model
from models.policy import Policy
from schemas.feature_row import FeatureRow, Origin
from schemas.output_codec import encode_feature_row
from schemas.topics import FEATURES
from streams.batch_scoring.plan import (
    MODEL_DIRECTORY,
    Part,
    PartResult,
    RowGroups,
    ScoringPlan,
    result_file,
)
from streams.batch_scoring.stage import ScoringStage, outcome_codes
from tests.archives import append_values
from tests.builders import NOW_MS, transaction
from tests.model_files import trained
from tests.scoring_fakes import feature_row
from training.archive.tables import SCHEMAS

ROWS = 300
POLICY = Policy(review_threshold=0.5, block_threshold=0.9).of_any_model
PLAN = ScoringPlan(
    run_id="0" * 16,
    model_name="m",
    model_version="7",
    trees_digest=trained().files.trees_digest,
    data_version="d",
    entity_column="transaction_id",
    lookup_ms=None,
    definition_digest=DEFINITION_DIGEST,
    left_out="",
    batch_features="",
    outcomes=POLICY.outcomes,
    thresholds=POLICY.thresholds,
    rows_at_once=64,
    sink="",
)


def row(number: int, rng: random.Random) -> FeatureRow:
    """A row of the log with values on and beside the splits, gaps and unknown texts."""
    doubles = {field.name for field in SCHEMAS[FEATURES] if str(field.type) == "double"}
    features: dict[str, int | float | None] = {}
    for name in FEATURE_NAMES:
        value = rng.randrange(20)
        features[name] = rng.choice([None, value, value, value])
        if name in doubles and features[name] is not None:
            features[name] = value + rng.random()
    event = transaction(
        transaction_id=f"t-{number}",
        event_time_ms=NOW_MS,
        amount_minor=rng.randrange(1, 10**9),
        device_type=rng.choice(["mobile", "web", "fridge", None]),
        ip_country=rng.choice(["DE", "AT", "XX", None]),
    )
    return replace(
        feature_row(features=features), transaction=event, origin=Origin(0, number, NOW_MS)
    )


def prepare(directory: Path) -> Path:
    """The directory of a run, with its plan and model; gives the target of its one part."""
    for path, content in trained().files.by_path().items():
        file = directory / MODEL_DIRECTORY / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    PLAN.write(directory)
    return directory / "scores.parquet"


def test_each_row_of_the_log_gets_the_streams_score_and_decision(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    rng = random.Random(pytestconfig.option.hypothesis_seed)
    values = [encode_feature_row(row(number, rng)) for number in range(ROWS)]
    model = load_model(
        trained().files, name="m", version="7", trees_digest=trained().files.trees_digest
    )
    read = read_rows(values)
    of_stream = np.array(model.score_read(read, range(ROWS), batch=None).scores)
    (file,) = append_values(str(tmp_path / "archive"), FEATURES, values).files()
    target = prepare(tmp_path)
    place = RowGroups(file.removeprefix("file://"), 0, 1)
    part = Part(3, "2026-06-01", ROWS, (place,), str(target))
    result = PartResult.decode(ScoringStage(tmp_path).process(part.encode()))
    found = pq.read_table(target)
    assert found["entity"].to_pylist() == [f"t-{number}" for number in range(ROWS)]
    assert found["score"].to_numpy().tobytes() == of_stream.tobytes()
    assert found["decision"].to_pylist() == [POLICY.outcome(score) for score in of_stream]
    assert len(set(of_stream)) > ROWS / 4
    assert (result.rows, sum(result.histogram)) == (ROWS, ROWS)


def test_a_part_that_has_a_result_is_not_scored_again(tmp_path: Path) -> None:
    prepare(tmp_path)
    done = PartResult(0, 5, 0, 1.0, (5,), {}, {}, {}).encode()
    result_file(tmp_path, 0).parent.mkdir()
    result_file(tmp_path, 0).write_bytes(done)
    nowhere = RowGroups("/nowhere.parquet", 0, 1)
    part = Part(0, "2026-06-01", 5, (nowhere,), str(tmp_path / "scores.parquet"))
    assert ScoringStage(tmp_path).process(part.encode()) == done


def test_each_outcome_is_that_of_the_policy_also_at_a_threshold() -> None:
    scores = np.array([0.0, 0.5, np.nextafter(0.5, 1), 0.9, np.nextafter(0.9, 1), 1.0])
    codes = outcome_codes(scores, POLICY.thresholds)
    assert [POLICY.outcomes[code] for code in codes] == [POLICY.outcome(score) for score in scores]
    assert (codes >= 1).tolist() == [score > 0.5 for score in scores]


@pytest.mark.parametrize("score", [np.nan, -0.1, 1.1])
def test_a_score_that_is_no_probability_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match="the model is faulty"):
        outcome_codes(np.array([0.5, score]), POLICY.thresholds)
