"""A small real model for tests: fitted on generated rows and compiled as in training."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from features.definitions import FEATURE_NAMES
from models.artifact.compile_forest import compile_forest
from models.artifact.files import ModelFiles
from models.encoding.table import encode_table, vector_spec
from models.encoding.vector import VectorSpec
from training.fitting.fit import ForestParameters, fit_forest

ROWS = 400


@dataclass(frozen=True)
class Trained:
    """A forest, its specification, the table it was fitted on, and its files."""

    table: pd.DataFrame
    spec: VectorSpec
    forest: RandomForestClassifier
    files: ModelFiles


def training_table(rows: int = ROWS, *, seed: int = 7) -> pd.DataFrame:
    """Rows in which a high count and a high rate mean fraud; with gaps and unknown texts."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({name: rng.integers(0, 20, rows) * 1.0 for name in FEATURE_NAMES})
    table["user_amount_mean_1d"] = np.where(
        rng.random(rows) < 0.2, np.nan, rng.lognormal(8, 2, rows)
    )
    table["merchant_fraud_rate_7d_delay_7d"] = rng.random(rows)
    table.insert(0, "transaction_id", [f"t-{at}" for at in range(rows)])
    table["user_id"] = [f"u-{at % 60}" for at in range(rows)]
    table["amount_minor"] = rng.integers(1, 10**9, rows)
    table["event_time_ms"] = 1_700_000_000_000 + np.arange(rows) * 60_000
    table["device_type"] = rng.choice(np.array(["mobile", "web", None], dtype=object), rows)
    table["ip_country"] = rng.choice(np.array(["DE", "AT", "FR", None], dtype=object), rows)
    risk = table["user_transaction_count_5m"] / 20 + table["merchant_fraud_rate_7d_delay_7d"]
    table["is_fraud"] = risk + rng.normal(0, 0.2, rows) > 1.2
    return table


@cache
def trained(seed: int = 7) -> Trained:
    """A model, the same for equal seeds; fitted once a session."""
    table = training_table(seed=seed)
    spec = vector_spec(table)
    forest = fit_forest(table, spec, parameters=ForestParameters(trees=20, depth_max=6), seed=seed)
    return Trained(
        table, spec, forest, compile_forest(forest, spec, encode_table(table, spec), seed=seed)
    )


def with_signature(files: ModelFiles, **changes: Any) -> ModelFiles:
    """The files with fields of the signature changed."""
    signature = {**json.loads(files.signature), **changes}
    return replace(files, signature=json.dumps(signature).encode())


def with_golden(files: ModelFiles, **changes: Any) -> ModelFiles:
    """The files with parts of the golden rows changed."""
    return replace(files, golden=json.dumps({**json.loads(files.golden), **changes}).encode())
