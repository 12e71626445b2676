"""Trains the ranker, registers it, and promotes it if it is better and Redis holds what it knows.

The steps are those of every model of the platform: compiled trees with golden rows, a version in
MLflow, a verdict on shoppers that it was not fitted on, a gate, the alias. Called by the command
of the example.
"""

from __future__ import annotations

import logging
import os
import zlib
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import redis
from numpy.typing import NDArray

from examples.recommendation.comparison import compare_online
from examples.recommendation.files import read_night
from examples.recommendation.fitting import (
    DEPTH_MAX,
    LEAF_ROWS_MIN,
    TREES,
    Fitted,
    Impressions,
    fit_ranker,
    impressions,
    ranked_top,
)
from examples.recommendation.model import RECOMMENDATION
from examples.recommendation.recall import recall_at_top
from examples.recommendation.stored import StoredBytesError
from examples.recommendation.tables import TRAIN, Visits, read_tables, read_visits
from models.artifact.files import read_files
from models.artifact.load import load_model
from models.artifact.trees import Trees
from models.catalogue import settings_of
from models.definition import ModelDefinition
from models.errors import ModelRefusedError
from operations.promotion import ClosedGate, Gate, gate_of_comparison, promote_version
from schemas.settings import Settings
from training.fitting.verdict import Verdict
from training.registry.gate import PassedGate
from training.registry.register import ModelRegistry
from training.registry.versions import REGISTERED, TAG_REASON, TAG_STATUS, ModelVersions

JUDGE_EACH: Final = 4
"""One of so many shoppers judges versions; they are fitted on the others."""
COMPARED_SHOPPERS: Final = 200
NOISE: Final = 1.645
"""Standard errors by which a version must be better than the champion: 5 % by chance."""


class Trained(NamedTuple):
    """A version that was registered, and what became of it."""

    version: str
    verdict: Verdict
    is_champion: bool


def train_ranker(
    settings: Settings,
    directory: Path,
    *,
    seed: int,
    definition: ModelDefinition = RECOMMENDATION,
) -> Trained:
    """Fit, register, and promote if it is better.

    Delivery: a version appears complete or not at all; the alias moves in one request.

    Args:
        settings: where MLflow and Redis are.
        directory: with the tables and the files of the night before the visits.
        seed: equal seeds and tables give equal versions.
        definition: whose version it is.

    Raises:
        TablesError: tables or files are missing.
        ModelRegistryUnreachableError: MLflow does not answer.
    """
    # MLflow's own progress would be mixed with ours.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    settings = settings_of(settings, definition)
    bought, catalogue = read_tables(directory)
    visits = read_visits(directory, bought, catalogue, part=TRAIN)
    is_judge = np.array([is_a_judge(bought.users[number]) for number in visits.user])
    fitted_on, judges = _some(visits, ~is_judge), _some(visits, is_judge)
    users = [bought.users[number] for number in judges.user]
    ranker = fit_ranker(
        fitted_on,
        read_night(directory, [bought.users[number] for number in fitted_on.user]),
        seed=seed,
        jobs=os.cpu_count() or 1,
    )
    shown = impressions(judges, read_night(directory, users))
    versions = ModelVersions.from_settings(settings)
    verdict, figures = _judge(ranker, judges, shown, _champion(versions))
    gate = _gate(settings, directory, users) if verdict.promotes else None
    if isinstance(gate, ClosedGate):
        verdict = Verdict(promotes=False, reason=f"{gate.reason}; {verdict.reason}")
    version = _register(settings, ranker, verdict, figures, seed=seed)
    if isinstance(gate, PassedGate):
        promote_version(settings, version, gate=gate, reason=verdict.reason)
    else:
        versions.name_challenger(version, reason=verdict.reason)
    return Trained(version, verdict, is_champion=isinstance(gate, PassedGate))


def is_a_judge(user_id: str) -> bool:
    """Say whether a shopper judges versions: the same ones always, so no champion knows them.

    Examples:
        >>> [is_a_judge(f"shopper-00000{number}") for number in range(4, 8)]
        [False, True, False, True]
    """
    return zlib.crc32(user_id.encode()) % JUDGE_EACH == 0


def judge(mine: NDArray[np.float64], others: NDArray[np.float64], *, other: str) -> Verdict:
    """Say whether a ranking is better than another one by more than noise.

    Args:
        mine: the recall of each visit.
        others: of the other ranking, of the same visits.
        other: what it is called.

    Examples:
        >>> judge(np.array([0.4, 0.5]), np.array([0.3, 0.2]), other="it").promotes
        True
        >>> judge(np.array([0.4, 0.1]), np.array([0.3, 0.2]), other="it").promotes
        False
    """
    difference = mine - others
    error = float(difference.std() / np.sqrt(len(difference)))
    figures = (
        f"recall at 10 is {mine.mean():.4f} in {len(mine)} visits, {other} has "
        f"{others.mean():.4f}, a difference of {difference.mean():.4f} with a standard error of "
        f"{error:.4f}"
    )
    if difference.mean() > NOISE * error:
        return Verdict(promotes=True, reason=figures)
    return Verdict(promotes=False, reason=f"not better by more than noise: {figures}")


def _judge(
    ranker: Fitted, visits: Visits, shown: Impressions, champion: tuple[str, Trees] | None
) -> tuple[Verdict, dict[str, float]]:
    count = len(visits.user)
    mine = recall_at_top(ranked_top(Trees(ranker.files.trees), shown, count), visits)
    unranked = recall_at_top(ranked_top(None, shown, count), visits)
    other, others = "the order of the candidates", unranked
    if champion is not None:
        other = f"champion version {champion[0]}"
        others = recall_at_top(ranked_top(champion[1], shown, count), visits)
    figures = {
        "recall_at_10": float(mine.mean()),
        "recall_at_10_of_candidates": float(unranked.mean()),
        "visits": float(count),
    }
    return judge(mine, others, other=other), figures


def _champion(versions: ModelVersions) -> tuple[str, Trees] | None:
    """Give the champion; None if there is none that this code can use."""
    champion = versions.champion()
    if champion is None:
        return None
    of = f"model {champion.name} version {champion.version}"
    try:
        files = read_files(lambda path: versions.artifact(champion, path), of=of)
        model = load_model(
            files,
            name=champion.name,
            version=champion.version,
            trees_digest=champion.trees_digest,
            columns=RECOMMENDATION.columns,
        )
    except ModelRefusedError:
        return None
    return champion.version, model.trees


def _gate(settings: Settings, directory: Path, users: list[str]) -> Gate:
    some = users[:COMPARED_SHOPPERS]
    try:
        compared = compare_online(settings, directory, some)
    except (redis.RedisError, StoredBytesError) as error:
        return ClosedGate(f"Redis could not be compared with the files of the night: {error}")
    return gate_of_comparison(
        rows=compared.shoppers,
        values_checked=compared.values,
        different=compared.different,
        first=compared.first,
    )


def _register(
    settings: Settings, ranker: Fitted, verdict: Verdict, figures: dict[str, float], *, seed: int
) -> str:
    parameters = {
        "trees": TREES,
        "depth_max": DEPTH_MAX,
        "leaf_rows_min": LEAF_ROWS_MIN,
        "seed": seed,
    }
    registry = ModelRegistry(settings.mlflow_tracking_uri, model_name=settings.model_name)
    return registry.register(
        ranker.forest,
        ranker.files,
        params=parameters,
        metrics=figures,
        tags={TAG_STATUS: REGISTERED, TAG_REASON: verdict.reason},
        files={},
    ).version


def _some(visits: Visits, wanted: NDArray[np.bool_]) -> Visits:
    return Visits(*(column[wanted] for column in visits))
