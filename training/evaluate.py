"""How good a model is: on rows newer than those it was fitted on. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score, roc_auc_score

from features.vector import VectorSpec
from training.dataset import encode_table


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of one model on one test part.

    Attributes:
        rows: of the test part.
        frauds: of them.
        auc: area under the ROC curve; None when the test part has one class only.
        average_precision: area under precision and recall; None likewise. A model that
            guesses has the share of fraud.
    """

    rows: int
    frauds: int
    auc: float | None
    average_precision: float | None

    def as_metrics(self) -> dict[str, float]:
        """Give the figures that exist, by name, as the registry takes them."""
        return {
            f"test_{name}": float(value)
            for name, value in asdict(self).items()
            if value is not None
        }


def evaluate(model: RandomForestClassifier, test: pd.DataFrame, spec: VectorSpec) -> Evaluation:
    """Judge a model by rows it has not seen.

    Args:
        model: fitted on both classes.
        test: rows with ``is_fraud``, newer than the model's.
        spec: the model's.
    """
    frauds = int(test["is_fraud"].sum())
    if frauds in (0, len(test)):
        return Evaluation(rows=len(test), frauds=frauds, auc=None, average_precision=None)
    scores = model.predict_proba(encode_table(test, spec))[:, 1]
    truth = test["is_fraud"].to_numpy(dtype=int)
    return Evaluation(
        rows=len(test),
        frauds=frauds,
        auc=float(roc_auc_score(truth, scores)),
        average_precision=float(average_precision_score(truth, scores)),
    )
