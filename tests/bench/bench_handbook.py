"""How well a model fitted on Weir's features finds the Fraud Detection Handbook's frauds.

By the handbook's own protocol, so that the figures compare with those it publishes for the same
model: train on 7 days, leave 7 days for the labels, test on 7 days, four times, a week apart.

    weir up
    weir replay ../shared/handbook/transactions.parquet --columns handbook
    PYTHONPATH=. .venv/bin/python tests/bench/bench_handbook.py dataset .weir/archive

makes the data set of all four months from the archive, as `weir train` does, labels and batch
features joined by Feast: the whole path, from the stream to the model. ``archive DIRECTORY`` reads
rows and labels alone, as `weir train --source archive` does. ``export FILE`` reads a table of
`weir export features` instead, and ``fold FILE`` first makes such a table by the pure fold, without
Kafka and Flink; both take the labels from the handbook's own table.

Input: the handbook's transactions, which carry no licence and are not part of the project;
``--handbook`` says where they are. Takes a minute of one core for the published inputs, two for
Weir's. A line a fold and set of inputs, each figure with its 95 % interval; then the means. Ends
with 1 when a mean of the published inputs is further than 0.01 from the published one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.batch import BATCH_NAMES
from features.definitions import DAY_MS, FEATURE_NAMES
from features.engine.state import MerchantState, UserState
from features.on_demand import on_demand_features
from models.encoding.table import encode_table
from models.encoding.vector import AMOUNT_COLUMN, VectorSpec
from schemas.label import Label
from schemas.settings import Settings
from training.archive.feature_rows import archived_feature_rows
from training.archive.labels import archived_labels
from training.datasets.build import build_dataset
from training.datasets.labelled_rows import join_labels
from training.fitting.evaluate import evaluate
from training.fitting.figures import Thresholds
from training.fitting.fit import ForestParameters, fit_forest

HANDBOOK = Path(__file__).resolve().parents[3] / "shared" / "handbook"

WEEK_DAYS = 7
FOLD_STARTS = ("2018-06-20", "2018-06-27", "2018-07-04", "2018-07-11")
FOREST = ForestParameters(trees=100, depth_max=20, leaf_rows_min=1)
SEED = 0
RESAMPLES = 200
WITHIN = 0.01
"""How far a figure of the published inputs may be from the published one."""

PUBLISHED = {"auc": 0.880, "average_precision": 0.694, "card_precision_at_100": 0.289}
"""Means over the four folds, random forest, ModelSelection notebook."""

PUBLISHED_INPUTS = (
    AMOUNT_COLUMN,
    "is_weekend",
    "is_night",
    *(
        name.format(days=days)
        for days in (1, 7, 30)
        for name in (
            "user_transaction_count_{days}d",
            "user_amount_mean_{days}d",
            "merchant_transaction_count_{days}d_delay_7d",
            "merchant_fraud_rate_{days}d_delay_7d",
        )
    ),
)
"""The fifteen inputs of the handbook, by our names."""

INPUTS = {
    "published": PUBLISHED_INPUTS,
    "weir": (AMOUNT_COLUMN, *FEATURE_NAMES),
    "weir and batch": (AMOUNT_COLUMN, *FEATURE_NAMES, *BATCH_NAMES),
}


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows to learn from, and the rows of a week that begins a week after them."""

    start: str
    train: pd.DataFrame
    test: pd.DataFrame


def folded(transactions: pd.DataFrame) -> pd.DataFrame:
    """Fold all transactions in their order, each fraud reported a week later."""
    users: defaultdict[str, UserState] = defaultdict(UserState)
    merchants: defaultdict[str, MerchantState] = defaultdict(MerchantState)
    columns: dict[str, list[Any]] = {name: [] for name in FEATURE_NAMES}
    for row in transactions.itertuples(index=False):
        features = (
            users[row.user_id]
            .fold(
                transaction_id=row.transaction_id,
                merchant_id=row.merchant_id,
                amount_minor=row.amount_minor,
                event_time_ms=row.event_time_ms,
            )
            .features
        )
        merchant = merchants[row.merchant_id]
        of_merchant = merchant.fold_transaction(
            transaction_id=row.transaction_id, event_time_ms=row.event_time_ms, is_repeat=False
        ).features
        calendar = on_demand_features(row.event_time_ms)
        if row.is_fraud:
            observed_ms = row.event_time_ms + WEEK_DAYS * DAY_MS
            label = Label(
                row.transaction_id, row.merchant_id, row.event_time_ms, observed_ms, is_fraud=True
            )
            merchant.fold_label(label)
        for name, value in {**features, **of_merchant, **calendar}.items():
            columns[name].append(value)
    kept = transactions.drop(columns="is_fraud").reset_index(drop=True)
    return pd.concat([kept, pd.DataFrame(columns)], axis=1)


def handbook_transactions(handbook: Path) -> pd.DataFrame:
    """Read the handbook's transactions under our names."""
    table = pd.read_parquet(handbook / "transactions.parquet")
    return pd.DataFrame(
        {
            "transaction_id": table["TRANSACTION_ID"].astype(str),
            "user_id": table["CUSTOMER_ID"].astype(str),
            "merchant_id": table["TERMINAL_ID"].astype(str),
            "amount_minor": (table["TX_AMOUNT"] * 100).round().astype("int64"),
            "event_time_ms": table["TX_DATETIME"].astype("datetime64[ms]").astype("int64"),
            "is_fraud": table["TX_FRAUD"] == 1,
        }
    )


def exported(path: Path, transactions: pd.DataFrame) -> pd.DataFrame:
    """Read an exported feature table and add the handbook's labels."""
    names = ["transaction_id", "user_id", "amount_minor", "event_time_ms", *FEATURE_NAMES]
    table = pd.read_parquet(path, columns=names).drop_duplicates("transaction_id")
    known = transactions.set_index("transaction_id")["is_fraud"]
    return table.assign(is_fraud=table["transaction_id"].map(known).eq(other=True))


def archived(url: str) -> pd.DataFrame:
    """Read rows and labels from the archive, joined as a training joins them."""
    # The newest rows have no later ones to be mature by; all reports are there.
    return join_labels(
        archived_feature_rows(url),
        archived_labels(url),
        as_of_ms=time.time_ns() // 1_000_000,
        keep_immature=True,
    )


def built(url: str, transactions: pd.DataFrame) -> pd.DataFrame:
    """Make the data set of all days there are; print what it is."""
    first_day = int(transactions["event_time_ms"].min()) // DAY_MS
    last_day = int(transactions["event_time_ms"].max()) // DAY_MS
    dataset = build_dataset(
        Settings(archive_url=url),
        first_ms=first_day * DAY_MS,
        # So late that every report is known; and no row is too young, as for an archive.
        end_ms=(last_day + 1 + WEEK_DAYS) * DAY_MS,
        as_of_ms=time.time_ns() // 1_000_000,
        maturity_ms=0,
    )
    print(json.dumps(json.loads(dataset.report())), flush=True)
    return dataset.table


def checked(table: pd.DataFrame, transactions: pd.DataFrame) -> pd.DataFrame:
    """Refuse a table that is not of all the handbook's transactions; order it by their numbers."""
    ids = set(transactions["transaction_id"])
    frauds, wanted = int(table["is_fraud"].sum()), int(transactions["is_fraud"].sum())
    if set(table["transaction_id"]) != ids or frauds != wanted:
        sys.exit(
            f"the table holds {len(table)} rows and {frauds} frauds, the handbook {len(ids)} and "
            f"{wanted}; replay all of it into an empty stack, and wait for the archive"
        )
    numbers = table["transaction_id"].astype("int64")
    return table.assign(number=numbers).sort_values("number").reset_index(drop=True)


def folds(table: pd.DataFrame, starts: Sequence[str] = FOLD_STARTS) -> Iterator[Fold]:
    """Cut the four folds, or others; from each test week drop the users known to be compromised.

    ::

        train      7 days      (labels)    7 days      test    7 days
        |------------------------|------------------------|--T------------|
        known: a fraud in the training week, or up to T - 8 days
    """
    days = table["event_time_ms"] // DAY_MS
    for start in starts:
        first = int(pd.Timestamp(start, tz="UTC").timestamp() * 1_000) // DAY_MS
        train = table[(days >= first) & (days < first + WEEK_DAYS)]
        known = set(train.loc[train["is_fraud"], "user_id"])
        parts = []
        for day in range(first + 2 * WEEK_DAYS, first + 3 * WEEK_DAYS):
            known |= set(table.loc[(days == day - WEEK_DAYS - 1) & table["is_fraud"], "user_id"])
            of_day = table[days == day]
            parts.append(of_day[~of_day["user_id"].isin(known)])
        yield Fold(start, train, pd.concat(parts))


def judge(fold: Fold, inputs: tuple[str, ...]) -> dict[str, Any]:
    """Fit and judge one fold."""
    spec = VectorSpec(inputs, {})
    started_s = time.process_time()
    forest = fit_forest(fold.train, spec, parameters=FOREST, seed=SEED)
    fitted_s = time.process_time() - started_s
    scores = np.asarray(forest.predict_proba(encode_table(fold.test, spec))[:, 1])
    evaluation = evaluate(
        fold.test,
        scores,
        thresholds=Thresholds(review=0.5, block=0.9),
        seed=SEED,
        resamples=RESAMPLES,
    )
    return {
        "fold": fold.start,
        "train_rows": len(fold.train),
        "test_rows": evaluation.rows,
        "test_frauds": evaluation.frauds,
        "fit_cpu_s": round(fitted_s, 1),
        **{
            name: [round(value, 4) for value in (figure.value, figure.low, figure.high)]
            for name, figure in evaluation.figures.items()
            if name in PUBLISHED
        },
    }


def main() -> int:
    """Judge both sets of inputs; print a line a fold, then the means."""
    parser = argparse.ArgumentParser(description="Model quality on the handbook's protocol.")
    parser.add_argument("source", choices=("dataset", "archive", "export", "fold"))
    parser.add_argument("place", help="the archive's address, or the table's file")
    parser.add_argument("--handbook", type=Path, default=HANDBOOK)
    parser.add_argument("--inputs", choices=sorted(INPUTS), action="append")
    options = parser.parse_args()
    transactions = handbook_transactions(options.handbook)
    if options.source == "fold":
        folded(transactions).to_parquet(options.place)
    if options.source == "dataset":
        table = checked(built(options.place, transactions), transactions)
    elif options.source == "archive":
        table = checked(archived(options.place), transactions)
    else:
        table = checked(exported(Path(options.place), transactions), transactions)
    means: dict[str, dict[str, float]] = {}
    there = [name for name, columns in INPUTS.items() if set(columns) <= set(table.columns)]
    for inputs in options.inputs or there:
        lines = []
        for fold in folds(table):
            lines.append(judge(fold, INPUTS[inputs]))
            print(json.dumps({"inputs": inputs, **lines[-1]}), flush=True)
        means[inputs] = {
            name: round(float(np.mean([line[name][0] for line in lines])), 4) for name in PUBLISHED
        }
    print(json.dumps({"published": PUBLISHED, "means": means}))
    found = means.get("published", PUBLISHED)
    return int(any(abs(found[name] - PUBLISHED[name]) > WITHIN for name in PUBLISHED))


if __name__ == "__main__":
    sys.exit(main())
