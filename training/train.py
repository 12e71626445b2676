"""Entry point of training: feature log and labels in, champion out. ``python -m training.train``.

Reads, joins, fits, judges, compiles, registers, in that order; each step is a module of its own.
The scorer follows the alias within seconds.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys

import pandas as pd

from schemas.errors import WeirError
from schemas.settings import Settings
from schemas.transaction import Limits
from training.compiled import compile_forest
from training.dataset import MATURITY_MS, encode_table, join_labels, split_by_time, vector_spec
from training.evaluate import Evaluation, evaluate
from training.fit import ForestParameters, fit_forest
from training.read_log import read_feature_rows, read_labels
from training.register import ModelRegistry, RegisteredModelVersion

logger = logging.getLogger(__name__)

SEED = 20_261_124
"""The seed of a training that names none."""


def train_and_register(
    settings: Settings,
    *,
    parameters: ForestParameters | None = None,
    maturity_ms: int = MATURITY_MS,
    keep_immature: bool = False,
    seed: int = SEED,
) -> RegisteredModelVersion:
    """Train on everything in the logs and make the result the champion.

    The forest is judged on the newest fifth of the rows, then grown again on all of them.

    Args:
        settings: where Kafka and MLflow are, and what the model and its alias are called.
        parameters: of the forest.
        maturity_ms: age, ms, from which on a row without a label is legitimate.
        keep_immature: keep younger rows without a label, as legitimate.
        seed: equal logs and seeds give equal models.

    Raises:
        NoFeatureRowsError: the feature log holds nothing to learn from.
        OneClassError: no fraud is known, or nothing else.
        LogUnreachableError: Kafka does not answer.
        ModelRegistryUnreachableError: MLflow does not answer.
        CompiledModelMismatchError: the compiled trees score otherwise; nothing is registered.
    """
    registry = ModelRegistry(
        settings.mlflow_tracking_uri,
        model_name=settings.model_name,
        alias=settings.champion_alias,
    )
    registry.check_reachable()
    rows = read_feature_rows(settings.kafka_bootstrap)
    labels = read_labels(settings.kafka_bootstrap, limits=Limits.from_settings(settings))
    table = join_labels(rows, labels, maturity_ms=maturity_ms, keep_immature=keep_immature)
    parameters = parameters or ForestParameters()
    spec = vector_spec(table)
    forest = fit_forest(table, spec, parameters=parameters, seed=seed, jobs=_jobs())
    compiled = compile_forest(forest, spec, encode_table(table, spec), seed=seed)
    evaluation = _judge(table, parameters=parameters, seed=seed)
    return registry.register(
        forest,
        compiled,
        params={
            "trees": parameters.trees,
            "depth_max": parameters.depth_max,
            "leaf_rows_min": parameters.leaf_rows_min,
            "seed": seed,
            "maturity_ms": maturity_ms,
            "keep_immature": keep_immature,
            "vector_digest": spec.digest,
            "event_time_ms_first": int(table["event_time_ms"].iloc[0]),
            "event_time_ms_last": int(table["event_time_ms"].iloc[-1]),
        },
        metrics={
            "rows": float(len(table)),
            "frauds": float(table["is_fraud"].sum()),
            **(evaluation.as_metrics() if evaluation else {}),
        },
    )


def _judge(table: pd.DataFrame, *, parameters: ForestParameters, seed: int) -> Evaluation | None:
    split = split_by_time(table)
    if split.train["is_fraud"].nunique() < 2:
        # Registered all the same: the whole table has both classes, its older part has not.
        logger.warning("the older %d rows have one class only; not judged", len(split.train))
        return None
    spec = vector_spec(split.train)
    forest = fit_forest(split.train, spec, parameters=parameters, seed=seed, jobs=_jobs())
    evaluation = evaluate(forest, split.test, spec)
    logger.info("on the newest rows: %s", evaluation)
    return evaluation


def _jobs() -> int:
    return os.cpu_count() or 1


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; print the version, or what is wrong.

    Returns:
        The exit code: 0 for a new champion, 1 for a failure that says what to do.
    """
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("--bootstrap", help="Kafka's bootstrap servers; default by settings")
    parser.add_argument("--tracking-uri", help="MLflow's address; default by settings")
    parser.add_argument("--maturity-ms", type=int, default=MATURITY_MS)
    parser.add_argument("--keep-immature", action="store_true")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    given = {
        "kafka_bootstrap": options.bootstrap,
        "mlflow_tracking_uri": options.tracking_uri,
    }
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    try:
        version = train_and_register(
            settings,
            maturity_ms=options.maturity_ms,
            keep_immature=options.keep_immature,
            seed=options.seed,
        )
    except WeirError as error:
        logger.error("%s: %s", type(error).__name__, error)  # noqa: TRY400 - its text is enough
        return 1
    logger.info("%s version %s is the champion", version.name, version.version)
    return 0


if __name__ == "__main__":
    sys.exit(main())
