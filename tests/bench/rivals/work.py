"""The work of every rival: what a user would write to turn a transaction into a decision.

Plain Python on a state that is a dictionary of lists, so that each framework can keep it in its
own way. Gives the values that Weir gives for events in order (`tests/bench/rivals_run.py` compares
them), but does less: no late events beyond sorting in, no repeats, no labels, no cap on a hot key,
no check of what comes in. Imports nothing of Weir: it runs in the rivals' own environments.
"""

from __future__ import annotations

import json
import os
import time
from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

MINUTE_MS = 60_000
DAY_MS = 1_440 * MINUTE_MS
WINDOWS_MS = {
    "5m": 5 * MINUTE_MS,
    "1h": 60 * MINUTE_MS,
    "1d": DAY_MS,
    "7d": 7 * DAY_MS,
    "30d": 30 * DAY_MS,
}
DISTINCT = ("5m", "1d")
MERCHANT = ("1d", "7d", "30d")
DELAY_MS = 7 * DAY_MS

BOOTSTRAP = os.environ.get("BENCH_BOOTSTRAP", "")
TOPIC_IN = os.environ.get("BENCH_IN", "")
TOPIC_OUT = os.environ.get("BENCH_OUT", "")
GROUP = os.environ.get("BENCH_GROUP", "")
PARTITIONS = int(os.environ.get("BENCH_PARTITIONS", "1"))
STATE_DIR = os.environ.get("BENCH_STATE", "")
MODEL_DIR = os.environ.get("BENCH_MODEL", "")

State = dict[str, list[Any]]


def new_user() -> State:
    """A user never seen."""
    return {"times": [], "amounts": [], "merchants": []}


def new_merchant() -> State:
    """A merchant never seen."""
    return {"times": [], "frauds": []}


def fold_user(state: State, transaction: dict[str, Any]) -> dict[str, Any]:
    """Add a transaction to its user's state; the transaction with the user's features."""
    now_ms = transaction["event_time_ms"]
    times, amounts, merchants = state["times"], state["amounts"], state["merchants"]
    at = bisect_right(times, now_ms)
    times.insert(at, now_ms)
    amounts.insert(at, transaction["amount_minor"])
    merchants.insert(at, transaction["merchant_id"])
    old = bisect_right(times, times[-1] - 31 * DAY_MS)
    if old:
        del times[:old], amounts[:old], merchants[:old]
    end = bisect_right(times, now_ms)
    features: dict[str, Any] = {}
    for name, window_ms in WINDOWS_MS.items():
        begin = bisect_right(times, now_ms - window_ms)
        count, total = end - begin, sum(amounts[begin:end])
        features[f"user_transaction_count_{name}"] = count
        features[f"user_amount_sum_{name}"] = total
        features[f"user_amount_mean_{name}"] = total / count
        if name in DISTINCT:
            features[f"user_merchant_distinct_{name}"] = len(set(merchants[begin:end]))
    return {**transaction, "features": features}


def fold_merchant(state: State, transaction: dict[str, Any]) -> dict[str, Any]:
    """Add a transaction to its merchant's state; all features are there then."""
    now_ms = transaction["event_time_ms"]
    times, frauds = state["times"], state["frauds"]
    times.insert(bisect_right(times, now_ms), now_ms)
    old = bisect_right(times, times[-1] - 38 * DAY_MS)
    if old:
        del times[:old]
    features = transaction["features"]
    end = bisect_right(times, now_ms - DELAY_MS)
    end_fraud = bisect_right(frauds, now_ms - DELAY_MS)
    for name in MERCHANT:
        since_ms = now_ms - DELAY_MS - WINDOWS_MS[name]
        count = end - bisect_right(times, since_ms)
        fraud = end_fraud - bisect_right(frauds, since_ms)
        features[f"merchant_transaction_count_{name}_delay_7d"] = count
        features[f"merchant_fraud_rate_{name}_delay_7d"] = fraud / count if count else 0.0
    hour, day = now_ms // 3_600_000 % 24, (now_ms // DAY_MS + 4) % 7
    features["hour_of_day"] = hour
    features["is_weekend"] = int(day in (0, 6))
    features["is_night"] = int(hour < 7)
    return transaction


class Scorer:
    """The champion's own trees, compiled: the same file that Weir's scorer loads."""

    def __init__(self, directory: str = MODEL_DIR) -> None:
        """Load trees and columns."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._trees = onnxruntime.InferenceSession(
            str(Path(directory) / "trees.onnx"), options, providers=["CPUExecutionProvider"]
        )
        spec = json.loads((Path(directory) / "spec.json").read_text())
        self._columns = spec["columns"]
        self._codes = {
            column: {text: float(at) for at, text in enumerate(texts)}
            for column, texts in spec["categories"].items()
        }

    def decide(self, transactions: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The decision of each transaction, scored in one call."""
        vectors = [self._vector(each) for each in transactions]
        matrix = np.asarray(vectors, dtype=np.float32).astype(np.float64)
        (scores,) = self._trees.run(None, {"vectors": matrix})
        now_ms = time.time_ns() // 1_000_000
        return [
            {
                "transaction_id": each["transaction_id"],
                "user_id": each["user_id"],
                "decision": "BLOCK" if score > 0.9 else "REVIEW" if score > 0.5 else "APPROVE",
                "score": score,
                "features": each["features"],
                "vector": vector,
                "event_time_ms": each["event_time_ms"],
                "decided_at_ms": now_ms,
            }
            for each, vector, score in zip(
                transactions, vectors, scores.reshape(len(vectors), -1)[:, -1].tolist(), strict=True
            )
        ]

    def _vector(self, transaction: dict[str, Any]) -> list[float]:
        features = transaction["features"]
        vector = []
        for column in self._columns:
            if column in self._codes:
                text = transaction.get(column)
                vector.append(-2.0 if text is None else self._codes[column].get(text, -1.0))
            else:
                vector.append(features[column] if column in features else transaction[column])
        return vector
