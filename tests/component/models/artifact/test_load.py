import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from features.definitions import DEFINITION_DIGEST
from models.artifact.files import ModelFiles
from models.artifact.golden import TOLERANCE
from models.artifact.load import LoadedModel, load_model
from models.encoding.table import encode_table
from models.errors import (
    DefinitionMismatchError,
    GoldenRowsMismatchError,
    ModelRefusedError,
    SignatureMismatchError,
)
from schemas.decision import ModelRef
from tests.model_files import trained, with_golden, with_signature
from tests.scoring_fakes import feature_row

REPO = Path(__file__).parents[4]


def load(files: ModelFiles, *, trees_digest: str | None = None) -> LoadedModel:
    return load_model(
        files,
        name="weir-fraud",
        version="3",
        trees_digest=files.trees_digest if trees_digest is None else trees_digest,
    )


def golden_scores(files: ModelFiles) -> list[float]:
    scores: list[float] = json.loads(files.golden)["scores"]
    return scores


def test_what_training_writes_is_loaded_and_scores_as_scikit_learn_does() -> None:
    model = trained()
    loaded = load(model.files)
    vectors = encode_table(model.table, model.spec)
    wanted = model.forest.predict_proba(vectors)[:, 1]
    assert loaded.trees.scores(vectors.tolist()).tolist() == wanted.tolist()
    assert loaded.ref == ModelRef("weir-fraud", "3", model.files.trees_digest)
    assert loaded.definition_digest == DEFINITION_DIGEST


def test_values_on_a_threshold_take_the_same_branch_as_in_scikit_learn() -> None:
    # Fails without the cast to 32 bits: such a value lies between the threshold as a 32-bit
    # float and as a double, and the compiled trees compare doubles.
    model = trained()
    loaded = load(model.files)
    vectors = encode_table(model.table, model.spec)
    at = 0
    for tree in model.forest.estimators_:
        nodes = zip(tree.tree_.feature, tree.tree_.threshold, strict=True)
        for feature, threshold in nodes:
            if feature >= 0 and np.isfinite(threshold):
                value = (threshold, np.nextafter(threshold, np.inf))[at % 2]
                vectors[at % len(vectors), feature] = value
                at += 1
    assert at > 200
    wanted = model.forest.predict_proba(vectors)[:, 1]
    assert np.abs(loaded.trees.scores(vectors.tolist()) - wanted).max() < 1e-12


def test_a_batch_and_single_rows_score_alike_and_give_the_vectors() -> None:
    loaded = load(trained().files)
    # More than 50 rows: the runtime goes another way through the trees then.
    rows = [feature_row(f"t-{at}", features={"user_transaction_count_5m": at}) for at in range(120)]
    together = loaded.score(rows)
    alone = [loaded.score([row]) for row in rows]
    assert together.scores == [single.scores[0] for single in alone]
    assert together.vectors is not None
    assert [len(vector) for vector in together.vectors] == [len(loaded.spec.columns)] * 120
    assert len(set(together.scores)) > 1


def test_a_feature_without_a_value_is_not_zero() -> None:
    loaded = load(trained().files)
    (vector,) = loaded.score([feature_row(features={"user_amount_mean_1d": None})]).vectors or []
    assert np.isnan(vector[loaded.spec.columns.index("user_amount_mean_1d")])


def more_than_trees(files: ModelFiles) -> ModelFiles:
    model = onnx.load_model_from_string(files.trees)
    (output,) = model.graph.node[0].output
    model.graph.node[0].output[0] = "raw"
    model.graph.node.append(onnx.helper.make_node("Identity", ["raw"], [output]))
    return replace(files, trees=model.SerializeToString())


def a_function_in_its_name(files: ModelFiles) -> ModelFiles:
    model = onnx.load_model_from_string(files.trees)
    (node,) = model.graph.node
    body = [onnx.helper.make_node("Identity", ["x"], ["y"])]
    model.functions.append(
        onnx.helper.make_function(
            *(node.domain, node.op_type, ["x"], ["y"], body, [onnx.helper.make_opsetid("", 18)])
        )
    )
    return replace(files, trees=model.SerializeToString())


def trees_of_another_type(files: ModelFiles) -> ModelFiles:
    model = onnx.load_model_from_string(files.trees)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    for attribute in model.graph.node[0].attribute:
        if attribute.t.data_type == onnx.TensorProto.DOUBLE:
            floats = onnx.numpy_helper.to_array(attribute.t).astype(np.float32)
            attribute.t.CopyFrom(onnx.numpy_helper.from_array(floats, attribute.t.name))
    return replace(files, trees=model.SerializeToString())


def moved_scores(files: ModelFiles, by: float) -> ModelFiles:
    return with_golden(files, scores=[score + by for score in golden_scores(files)])


@pytest.mark.parametrize("times", [-0.9, 0.9])
def test_a_golden_score_within_the_tolerance_is_accepted(times: float) -> None:
    load(moved_scores(trained().files, times * TOLERANCE))


def one_column_less(files: ModelFiles) -> ModelFiles:
    vector = json.loads(files.signature)["vector"]
    return with_signature(files, vector={**vector, "columns": vector["columns"][:-3]})


def unknown_column(files: ModelFiles) -> ModelFiles:
    vector = json.loads(files.signature)["vector"]
    return with_signature(files, vector={**vector, "columns": ["nobody_knows"]})


BROKEN: dict[str, tuple[Callable[[ModelFiles], ModelFiles], type[ModelRefusedError]]] = {
    "other definitions": (
        lambda files: with_signature(files, definition_digest="another"),
        DefinitionMismatchError,
    ),
    "no definitions": (
        lambda files: with_signature(files, definition_digest=None),
        DefinitionMismatchError,
    ),
    "signature is no JSON": (
        lambda files: replace(files, signature=b"{"),
        SignatureMismatchError,
    ),
    "signature is a list": (lambda files: replace(files, signature=b"[]"), SignatureMismatchError),
    "signature without a vector": (
        lambda files: with_signature(files, vector=None),
        SignatureMismatchError,
    ),
    "an unknown column": (unknown_column, SignatureMismatchError),
    "other columns than the trees": (one_column_less, SignatureMismatchError),
    "golden is no JSON": (lambda files: replace(files, golden=b"\xff"), SignatureMismatchError),
    "no golden rows": (lambda files: with_golden(files, rows=[]), GoldenRowsMismatchError),
    "golden rows without scores": (
        lambda files: with_golden(files, scores=[]),
        GoldenRowsMismatchError,
    ),
    "golden rows too narrow": (
        lambda files: with_golden(files, rows=[[1.0]], scores=[0.5]),
        GoldenRowsMismatchError,
    ),
    "golden rows of uneven width": (
        lambda files: with_golden(files, rows=[[1.0], [1.0, 2.0]], scores=[0.5, 0.5]),
        GoldenRowsMismatchError,
    ),
    "golden rows that are no rows": (
        lambda files: with_golden(files, rows=[1.0, 2.0], scores=[0.5, 0.5]),
        GoldenRowsMismatchError,
    ),
    "golden rows of text": (
        lambda files: with_golden(files, rows=[["a"]], scores=[0.5]),
        GoldenRowsMismatchError,
    ),
    "golden file without rows": (
        lambda files: replace(files, golden=b"{}"),
        GoldenRowsMismatchError,
    ),
    "golden scores moved up": (
        lambda files: moved_scores(files, 1.1 * TOLERANCE),
        GoldenRowsMismatchError,
    ),
    "golden scores moved down": (
        lambda files: moved_scores(files, -1.1 * TOLERANCE),
        GoldenRowsMismatchError,
    ),
    "golden scores are no numbers": (
        lambda files: replace(
            files,
            golden=json.dumps(
                {**json.loads(files.golden), "scores": [float("nan")] * len(golden_scores(files))}
            ).encode(),
        ),
        GoldenRowsMismatchError,
    ),
    "other trees": (
        lambda files: replace(files, trees=trained(seed=8).files.trees),
        GoldenRowsMismatchError,
    ),
    "more than trees": (more_than_trees, SignatureMismatchError),
    "a function in the name of trees": (a_function_in_its_name, SignatureMismatchError),
    "trees of 32-bit floats": (trees_of_another_type, SignatureMismatchError),
    "half of the trees": (
        lambda files: replace(files, trees=files.trees[: len(files.trees) // 2]),
        SignatureMismatchError,
    ),
    "trees are no trees": (lambda files: replace(files, trees=b""), SignatureMismatchError),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_version_that_would_not_score_as_in_training_is_refused(name: str) -> None:
    breaking, error = BROKEN[name]
    with pytest.raises(error, match="model weir-fraud version 3"):
        load(breaking(trained().files))


def test_trees_that_are_not_those_on_record_are_refused_before_they_are_read() -> None:
    files = trained().files
    changed = replace(files, trees=files.trees[:-1] + bytes([files.trees[-1] ^ 1]))
    with pytest.raises(SignatureMismatchError, match="changed after it was registered"):
        load(changed, trees_digest=files.trees_digest)


def test_a_version_without_a_digest_on_record_is_refused() -> None:
    with pytest.raises(SignatureMismatchError, match="the registry says ''"):
        load(trained().files, trees_digest="")


@pytest.mark.parametrize("module", ["models.artifact.load", "models.heuristic", "scoring.wiring"])
def test_what_the_scorer_loads_models_with_imports_no_training_library(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    imported = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPO
    ).stdout.split()
    assert module in imported
    assert {"sklearn", "scipy", "mlflow", "pandas", "matplotlib"}.isdisjoint(imported)
