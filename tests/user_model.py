"""A small real model of users for tests: compiled as in training."""

from __future__ import annotations

from functools import cache

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from features.batch import ACTIVITY
from features.definitions import DAY_MS
from features.user_inputs import DAYS_IDLE
from models.artifact.compile_forest import compile_forest
from models.artifact.files import ModelFiles
from models.artifact.load import LoadedModel, load_model
from models.definition import Label, ModelDefinition
from models.encoding.vector import VectorSpec
from models.policy import DecisionPolicy

LEAVES = ModelDefinition(
    name="leaves",
    columns=(DAYS_IDLE, "user_transaction_count_7d", "user_amount_mean_7d", *ACTIVITY.names),
    policy=DecisionPolicy(("STAYS", "LEAVES"), (0.5,)),
    label=Label("count(transaction_id) = 0", horizon_ms=30 * DAY_MS),
)


@cache
def leaves_files() -> ModelFiles:
    """The files of a version in which idle users leave."""
    rng = np.random.default_rng(3)
    idle = rng.integers(0, 30, 300)
    rest = rng.random((300, len(LEAVES.columns) - 1))
    vectors = np.column_stack([idle, rest]).astype(np.float64)
    forest = RandomForestClassifier(n_estimators=20, max_depth=4, random_state=1)
    forest.fit(vectors.astype(np.float32), idle > 15)
    return compile_forest(forest, VectorSpec(LEAVES.columns, {}), vectors, seed=1)


def leaves_model(version: str = "4") -> LoadedModel:
    files = leaves_files()
    return load_model(
        files,
        name=LEAVES.name,
        version=version,
        trees_digest=files.trees_digest,
        columns=LEAVES.columns,
    )
