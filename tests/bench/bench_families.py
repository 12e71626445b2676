"""Which family of models finds the Fraud Detection Handbook's frauds best, and by how much.

By the protocol and on the folds of `tests.bench.bench_handbook`, with several seeds:

    PYTHONPATH=. .venv/bin/python tests/bench/bench_handbook.py fold table.parquet
    PYTHONPATH=. .venv/bin/python tests/bench/bench_families.py table.parquet

All are fitted on every fold, forests with every seed; boosting draws nothing. Prints the figures
of each, and the difference of each two with its interval: of 400 paired draws of customers, within
each fold, of the mean over folds and seeds. Ten minutes of one core. The parameters are `CHOSEN`;
``--choose`` chooses them again on the `EARLIER` weeks, which end before the folds begin, by the
rule of training.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.artifact.compile_forest import fitted_scores
from models.encoding.table import encode_table
from models.encoding.vector import VectorSpec
from tests.bench.bench_handbook import (
    FOLD_STARTS,
    FOREST,
    HANDBOOK,
    INPUTS,
    PUBLISHED,
    Fold,
    checked,
    exported,
    folds,
    handbook_transactions,
)
from training.fitting.boosting import BoostingParameters
from training.fitting.choose import Tried, best_of
from training.fitting.families import BOOSTED, LIGHTGBM, Parameters, as_record, fit_trees
from training.fitting.figures import RankedRows, Thresholds
from training.fitting.fit import ForestParameters
from training.fitting.lightgbm_fit import LightGbmParameters

EARLIER = ("2018-05-16", "2018-05-23")
"""Starts of the folds that parameters are chosen on; merchants' features are whole from 8 May."""
GRIDS: dict[str, tuple[Parameters, ...]] = {
    "forest": (FOREST, ForestParameters(), ForestParameters(depth_max=20, leaf_rows_min=5)),
    "boosting": BOOSTED,
    "lightgbm": LIGHTGBM,
}
CHOSEN: dict[str, Parameters] = {
    "forest": ForestParameters(depth_max=20, leaf_rows_min=5),
    "boosting": BoostingParameters(),
    "lightgbm": LightGbmParameters(),
}
THRESHOLDS = Thresholds(review=0.5, block=0.9)
RESAMPLES = 400
AP, CARDS = "average_precision", "card_precision_at_100"


def scores_of(
    fold: Fold, spec: VectorSpec, parameters: Parameters, *, seed: int, jobs: int
) -> tuple[NDArray[np.float64], Parameters]:
    """Fit on a fold and score its test rows; boosting finds its rounds on the newest two days."""
    if isinstance(parameters, BoostingParameters):
        is_newest = (
            fold.train["event_time_ms"] >= fold.train["event_time_ms"].max() - 2 * 86_400_000
        )
        older, newer = fold.train[~is_newest], fold.train[is_newest]
        _, parameters = fit_trees(older, spec, parameters=parameters, seed=seed, newer=newer)
    estimator, _ = fit_trees(fold.train, spec, parameters=parameters, seed=seed, jobs=jobs)
    return fitted_scores(estimator, encode_table(fold.test, spec)), parameters


def chosen(earlier: Sequence[Fold], spec: VectorSpec, family: str, *, jobs: int) -> Parameters:
    """Choose the parameters of a family on earlier folds."""
    tried = []
    for parameters in GRIDS[family]:
        found = []
        for fold in earlier:
            scores, _ = scores_of(fold, spec, parameters, seed=0, jobs=jobs)
            found.append(RankedRows(fold.test, scores, THRESHOLDS).figures(None))
        means = {name: float(np.mean([each[name] for each in found])) for name in PUBLISHED}
        tried.append(Tried(parameters, means[AP], means[CARDS]))
        print(json.dumps({"tried": as_record(parameters), **rounded(means)}), flush=True)
    return best_of(tried).parameters


def compared(
    all_folds: Sequence[Fold],
    spec: VectorSpec,
    families: dict[str, Parameters],
    *,
    seeds: Sequence[int],
    jobs: int,
) -> dict[str, Any]:
    """Fit every family on every fold with every seed, and compare each two."""
    ranked: dict[str, list[list[RankedRows]]] = {name: [] for name in families}
    for fold in all_folds:
        for name, parameters in families.items():
            of_fold = []
            for seed in seeds if name == "forest" else seeds[:1]:
                scores, fitted = scores_of(fold, spec, parameters, seed=seed, jobs=jobs)
                of_fold.append(RankedRows(fold.test, scores, THRESHOLDS))
                line = {"fold": fold.start, "family": name, "seed": seed}
                figures = of_fold[-1].figures(None)
                rounds = getattr(fitted, "rounds", None)
                print(json.dumps({**line, "rounds": rounds, **rounded(figures)}), flush=True)
            ranked[name].append(of_fold)
    by_seed = {
        name: [
            means([of_fold[at].figures(None) for of_fold in of_family])
            for at in range(len(of_family[0]))
        ]
        for name, of_family in ranked.items()
    }
    return {
        "means": {name: rounded(means(by_seed[name])) for name in families},
        "deviation_of_seeds": {
            name: {
                figure: round(float(np.std([each[figure] for each in by_seed[name]], ddof=1)), 4)
                for figure in PUBLISHED
            }
            for name in families
            if len(by_seed[name]) > 1
        },
        **{
            f"{last} minus {first}": difference(all_folds, ranked[first], ranked[last])
            for first, last in combinations(families, 2)
        },
    }


def difference(
    all_folds: Sequence[Fold], first: list[list[RankedRows]], last: list[list[RankedRows]]
) -> dict[str, list[float]]:
    """Give last minus first of each published figure, and the ends of its interval."""
    ours, theirs = (
        means([each.figures(None) for of_fold in family for each in of_fold])
        for family in (last, first)
    )
    drawn = differences(all_folds, first, last)
    return {
        name: [
            round(float(value), 4)
            for value in (ours[name] - theirs[name], *np.quantile(drawn[name], (0.025, 0.975)))
        ]
        for name in PUBLISHED
    }


def differences(
    all_folds: Sequence[Fold], first: list[list[RankedRows]], last: list[list[RankedRows]]
) -> dict[str, list[float]]:
    """Draw customers of every fold, for both families and all seeds the same."""
    rng = np.random.default_rng(0)
    users = [int(fold.test["user_id"].nunique()) for fold in all_folds]
    found: dict[str, list[float]] = {name: [] for name in PUBLISHED}
    for _ in range(RESAMPLES):
        draws = [np.bincount(rng.integers(0, count, count), minlength=count) for count in users]
        ours, theirs = (
            means(
                [
                    means([each.figures(draw) for each in of_fold])
                    for draw, of_fold in zip(draws, family, strict=True)
                ]
            )
            for family in (last, first)
        )
        for name in PUBLISHED:
            found[name].append(ours[name] - theirs[name])
    return found


def means(figures: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each of the published figures."""
    return {name: float(np.mean([each[name] for each in figures])) for name in PUBLISHED}


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """The published figures, with four digits."""
    return {name: round(figures[name], 4) for name in PUBLISHED}


def main() -> None:
    """Compare the families on one set of inputs."""
    parser = argparse.ArgumentParser(description="Families of models on the handbook's protocol.")
    parser.add_argument("table", type=Path, help="as `bench_handbook.py fold` writes it")
    parser.add_argument("--handbook", type=Path, default=HANDBOOK)
    parser.add_argument("--inputs", choices=sorted(INPUTS), default="weir")
    parser.add_argument("--choose", action="store_true", help="the parameters, on earlier weeks")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    transactions = handbook_transactions(options.handbook)
    table = checked(exported(options.table, transactions), transactions)
    spec = VectorSpec(INPUTS[options.inputs], {})
    if options.choose:
        earlier = list(folds(table, EARLIER))
        for name in GRIDS:
            best = chosen(earlier, spec, name, jobs=options.jobs)
            print(json.dumps({"chosen": as_record(best)}), flush=True)
        return
    later, seeds = list(folds(table, FOLD_STARTS)), range(options.seeds)
    print(json.dumps(compared(later, spec, CHOSEN, seeds=seeds, jobs=options.jobs)))


if __name__ == "__main__":
    main()
