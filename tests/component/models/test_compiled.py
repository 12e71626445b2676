import json

import numpy as np
import pytest

from features.definitions import DEFINITION_DIGEST
from models.compiled import (
    GOLDEN_SAMPLED,
    TOLERANCE,
    check_equal,
    compile_forest,
    golden_rows,
    predict_compiled,
)
from models.encoding.vector import VectorSpec
from models.errors import CompiledModelMismatchError
from tests.model_files import trained
from training.datasets.rows import encode_table


def test_the_files_say_what_the_scorer_needs() -> None:
    model = trained()
    signature = json.loads(model.compiled.signature)
    assert signature["definition_digest"] == DEFINITION_DIGEST
    assert VectorSpec.from_json(json.dumps(signature["vector"])) == model.spec
    assert signature["vector_digest"] == model.spec.digest
    golden = json.loads(model.compiled.golden)
    assert len(golden["rows"]) == len(golden["scores"]) == 2 * GOLDEN_SAMPLED
    assert any(None in row for row in golden["rows"])


def test_golden_rows_lie_on_and_beside_thresholds_where_a_wrong_cast_shows() -> None:
    model = trained()
    vectors = encode_table(model.table, model.spec)
    rows = golden_rows(model.forest, vectors, seed=1)
    thresholds = {
        float(threshold)
        for tree in model.forest.estimators_
        for feature, threshold in zip(tree.tree_.feature, tree.tree_.threshold, strict=True)
        if feature >= 0
    }
    edged = rows[GOLDEN_SAMPLED:]
    assert sum(bool(thresholds & set(row)) for row in edged) >= GOLDEN_SAMPLED // 3
    scores = model.forest.predict_proba(rows)[:, 1]
    assert np.abs(predict_compiled(model.compiled.trees, rows) - scores).max() < 1e-12


def test_equal_seeds_give_equal_bytes() -> None:
    model = trained()
    vectors = encode_table(model.table, model.spec)
    again = compile_forest(model.forest, model.spec, vectors, seed=7)
    assert again == model.compiled


def test_a_difference_past_the_tolerance_refuses_and_says_where() -> None:
    wanted = np.array([0.1, 0.2, 0.3])
    check_equal(wanted + 0.9 * TOLERANCE, wanted)
    with pytest.raises(CompiledModelMismatchError, match=r"1 of 3 golden rows .* row 1"):
        check_equal(wanted + np.array([0, 1.1 * TOLERANCE, 0]), wanted)


def test_a_score_that_is_no_number_refuses() -> None:
    with pytest.raises(CompiledModelMismatchError):
        check_equal(np.array([np.nan]), np.array([0.5]))
