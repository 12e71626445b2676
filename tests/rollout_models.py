"""Versions of the small model of the tests that a rollout should not let in."""

from __future__ import annotations

from copy import deepcopy

from models.artifact.compile_forest import compile_forest
from models.encoding.table import encode_table
from tests.model_files import Trained, trained, training_table
from training.fitting.fit import ForestParameters, fit_forest


def suspicious() -> Trained:
    """A model that takes good payments for fraud, and the other way round."""
    table = training_table()
    table["is_fraud"] = ~table["is_fraud"].astype(bool)
    spec = trained().spec
    forest = fit_forest(table, spec, parameters=ForestParameters(trees=20, depth_max=6), seed=7)
    return Trained(
        table, spec, forest, compile_forest(forest, spec, encode_table(table, spec), seed=7)
    )


def unsure(*, about: float) -> Trained:
    """The model of `trained`, with all of its scores within 0.01 of one."""
    like = trained()
    forest = deepcopy(like.forest)
    for tree in forest.estimators_:
        shares = tree.tree_.value[:, 0]
        shares[:, 1] = about + 0.02 * (shares[:, 1] - 0.5)
        shares[:, 0] = 1.0 - shares[:, 1]
    files = compile_forest(forest, like.spec, encode_table(like.table, like.spec), seed=7)
    return Trained(like.table, like.spec, forest, files)
