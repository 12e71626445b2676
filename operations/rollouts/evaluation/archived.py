"""Reads decisions with matured labels from the archive, and scores them by another version."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import pandas as pd

from clients.mlflow_rest import MlflowRest
from models.artifact.load import LoadedModel, load_model
from models.encoding.table import encode_table
from models.errors import ModelRefusedError
from models.policy import Policy
from operations.rollouts.evaluation.evaluate import Evaluated, LoggedDecisions, evaluate
from operations.rollouts.losses import FRAUD, NO_LABEL, NOT_FRAUD, OUTCOMES
from operations.rollouts.statistics.running import Floats, Integers
from schemas.field_readers import refuse
from schemas.rollout import LossWeights
from schemas.settings import Settings
from schemas.topics import DECISIONS
from scoring.stores.champion import fetch_files
from training.archive.feature_rows import archived_feature_rows
from training.archive.labels import archived_observations
from training.archive.scan import LOG_OFFSET, scan

_COLUMNS = ("transaction_id", "decision", "decided_at_ms", "policy")


class PolicyRange(NamedTuple):
    """Which decisions are looked at.

    Attributes:
        first_ms: earliest time of the decision, included, ms since 1970 UTC; None: no limit.
        end_ms: end of the range, excluded; None: no limit.
        maturity_ms: age at which a label counts as known, ms.
        now_ms: clock, ms since 1970 UTC.
    """

    first_ms: int | None
    end_ms: int | None
    maturity_ms: int
    now_ms: int


def evaluate_policy(
    settings: Settings,
    *,
    version: str | None,
    policy: Policy,
    within: PolicyRange,
    weights: LossWeights,
) -> tuple[str, Evaluated]:
    """Estimate what a version with some thresholds would have lost.

    Blocks: reads the decisions, feature rows and labels of the archive.

    Args:
        settings: where the archive and the registry are.
        version: of the registered model; None for the champion.
        policy: the thresholds.
        within: which decisions.
        weights: what a wrong decision costs.

    Returns:
        The version, and its evaluation.

    Raises:
        InvalidEventError: there is no such version, or it cannot be evaluated; it says why.
        NoArchiveError: nothing has been archived yet.
        NoFeatureRowsError: no row is of the definitions of this code.
        ArchiveUnreachableError, ModelRegistryUnreachableError: no answer.
    """
    model = _model(settings, version)
    decisions = _decisions(settings.archive_url, within)
    rows = archived_feature_rows(settings.archive_url)
    joined = decisions.merge(rows, on="transaction_id", how="inner")
    scores = _scores(model, joined)
    wanted = np.array([OUTCOMES.index(policy.outcome(score)) for score in scores], dtype=int)
    log = _logged(joined, _labels(settings.archive_url, joined, within.maturity_ms))
    return model.ref.version, evaluate(log, wanted, scores, weights)


def _model(settings: Settings, version: str | None) -> LoadedModel:
    registry = MlflowRest(settings.mlflow_tracking_uri)
    found = (
        registry.get_alias(model=settings.model_name, alias=settings.champion_alias)
        if version is None
        else registry.get_version(model=settings.model_name, version=version)
    )
    if found is None:
        what = f"{settings.model_name} has no such version" if version else "there is no champion"
        refuse("version", f"cannot be evaluated: {what}; `weir models list` names them")
    try:
        model = load_model(
            fetch_files(registry, found),
            name=found.name,
            version=found.version,
            trees_digest=found.trees_digest,
        )
    except ModelRefusedError as error:
        refuse("version", f"is {found.version}, which the scorer refuses: {error}")
    if model.batch_columns:
        refuse(
            "version",
            f"is {found.version}, which uses batch features; the archive has no batch features as "
            "of each decision, so it cannot be evaluated without deciding",
        )
    return model


def _decisions(url: str, within: PolicyRange) -> pd.DataFrame:
    table = scan(url, DECISIONS, [*_COLUMNS, *LOG_OFFSET]).to_pandas()
    # In the order of the log: the first one of a transaction stands.
    table = table.drop_duplicates("transaction_id", keep="first")
    is_mature = table["decided_at_ms"] + within.maturity_ms <= within.now_ms
    first_ms = -(2**63) if within.first_ms is None else within.first_ms
    end_ms = 2**63 - 1 if within.end_ms is None else within.end_ms - 1
    chosen: pd.DataFrame = table[is_mature & table["decided_at_ms"].between(first_ms, end_ms)]
    return chosen


def _scores(model: LoadedModel, rows: pd.DataFrame) -> Floats:
    if rows.empty:
        return np.empty(0)
    return np.asarray(model.trees.scores(encode_table(rows, model.spec)), dtype=float)


def _labels(url: str, rows: pd.DataFrame, maturity_ms: int) -> Integers:
    """Give what was known of each transaction when its decision had the age of maturity."""
    observations = archived_observations(url)
    known = observations.merge(
        rows[["transaction_id", "decided_at_ms"]], on="transaction_id", how="inner"
    )
    known = known[known["observed_time_ms"] <= known["decided_at_ms"] + maturity_ms]
    latest = known.sort_values("observed_time_ms", kind="stable").drop_duplicates(
        "transaction_id", keep="last"
    )
    by_id = latest.set_index("transaction_id")["is_fraud"].map({True: FRAUD, False: NOT_FRAUD})
    found: Integers = np.asarray(rows["transaction_id"].map(by_id).fillna(NO_LABEL), dtype=np.int64)
    return found


def _logged(rows: pd.DataFrame, labels: Integers) -> LoggedDecisions:
    drawn = [None if policy is None else json.loads(policy) for policy in rows["policy"]]
    outcome = rows["decision"].map({name: at for at, name in enumerate(OUTCOMES)}).to_numpy(int)
    block = OUTCOMES.index("BLOCK")
    is_let_through = np.array(
        [policy is not None and at != block for policy, at in zip(drawn, outcome, strict=True)],
        dtype=bool,
    )
    return LoggedDecisions(
        outcome=np.where(is_let_through, block, outcome),
        is_let_through=is_let_through,
        propensity=np.array(
            [np.nan if policy is None else policy["propensity"] for policy in drawn], dtype=float
        ),
        label=labels,
    )
