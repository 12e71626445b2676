import json

import numpy as np
import pytest
from numpy.typing import NDArray

from features.definitions import DEFINITION_DIGEST
from models.artifact import compile_forest as module
from models.artifact.compile_forest import GOLDEN_SAMPLED, compile_forest, golden_rows
from models.artifact.golden import TOLERANCE
from models.artifact.trees import Trees
from models.encoding.table import encode_table
from models.encoding.vector import VectorSpec
from models.errors import CompiledModelMismatchError
from tests.model_files import trained


def test_the_files_say_what_the_scorer_needs() -> None:
    model = trained()
    signature = json.loads(model.files.signature)
    assert signature["definition_digest"] == DEFINITION_DIGEST
    assert VectorSpec.from_json(json.dumps(signature["vector"])) == model.spec
    assert signature["vector_digest"] == model.spec.digest
    golden = json.loads(model.files.golden)
    assert len(golden["rows"]) == len(golden["scores"]) == 2 * GOLDEN_SAMPLED
    assert any(None in row for row in golden["rows"])


def test_golden_rows_lie_on_and_beside_thresholds_where_a_wrong_cast_shows() -> None:
    model = trained()
    vectors = encode_table(model.table, model.spec)
    rows = golden_rows(model.forest, model.files.trees, vectors, seed=1)
    thresholds = {
        float(threshold)
        for tree in model.forest.estimators_
        for feature, threshold in zip(tree.tree_.feature, tree.tree_.threshold, strict=True)
        if feature >= 0
    }
    edged = rows[GOLDEN_SAMPLED:]
    assert sum(bool(thresholds & set(row)) for row in edged) >= GOLDEN_SAMPLED // 3
    scores = model.forest.predict_proba(rows)[:, 1]
    assert np.abs(Trees(model.files.trees).scores(rows) - scores).max() < 1e-12


def test_equal_seeds_give_equal_bytes() -> None:
    model = trained()
    vectors = encode_table(model.table, model.spec)
    again = compile_forest(model.forest, model.spec, vectors, seed=7)
    assert again == model.files


class MovedTrees:
    """Trees whose scores are all off by this much."""

    by = 0.0

    def __init__(self, content: bytes) -> None:
        self._trees = Trees(content)

    def scores(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._trees.scores(vectors) + self.by


@pytest.mark.parametrize(("by", "is_refused"), [(0.9, False), (1.1, True), (np.nan, True)])
def test_compiled_scores_that_differ_from_the_forests_refuse_the_model(
    monkeypatch: pytest.MonkeyPatch, by: float, *, is_refused: bool
) -> None:
    model = trained()
    vectors = encode_table(model.table, model.spec)
    monkeypatch.setattr(MovedTrees, "by", by * TOLERANCE)
    monkeypatch.setattr(module, "Trees", MovedTrees)
    if is_refused:
        with pytest.raises(CompiledModelMismatchError, match=r"200 of 200 golden rows .* row 0"):
            compile_forest(model.forest, model.spec, vectors, seed=7)
    else:
        assert compile_forest(model.forest, model.spec, vectors, seed=7) == model.files
