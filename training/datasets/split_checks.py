"""Refuses a split whose parts would mislead: too many nulls, too few frauds, leakage, duplicates.

The whole table has passed the checks of `training.datasets.labelled_rows` before; a part can still
fail them. For example, a column that no longer computes may be null in the newest rows alone. Pure.
Called by `training.datasets.build`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from features.batch import BATCH_NAMES
from schemas.errors import shown_time
from training.datasets.labelled_rows import check_null_share
from training.datasets.split import Split, SplitKind
from training.errors import (
    DuplicateRowsError,
    FutureFeaturesError,
    NullShareError,
    OneClassError,
)

COPY_SHARE_MAX: Final = 0.01
"""The largest share of the rows of a later part that are copies of rows of an earlier part."""
_CONTENT: Final = ("user_id", "merchant_id", "amount_minor", "event_time_ms")
"""What two transactions must have in common to be copies of each other under two ids."""


def check_split(split: Split, kind: SplitKind) -> None:
    """Refuse a split that a model must not be fitted and judged on.

    Args:
        split: of a table with ``is_fraud`` and the columns of a data set.
        kind: by which rule it was made.

    Raises:
        OneClassError: a part has no fraud, or nothing but fraud.
        NullShareError: a column of a part has too many nulls.
        DuplicateRowsError: a transaction is in two parts, or too many rows of a later part are
            copies of rows of an earlier one.
        FutureFeaturesError: the split is by time, and a part has a row that is not newer than
            every row of the part before it.
    """
    for name, part in split.parts().items():
        _check_part(name, part)
    _check_duplicates(split)
    if kind is SplitKind.TIME:
        _check_order(split)


def parts_report(split: Split) -> dict[str, dict[str, Any]]:
    """Describe each part: its rows, its times, its users, and what it has in common with train.

    Returns:
        By the name of the part: ``rows``, ``frauds``, ``fraud_share``, ``first_ms`` and
        ``last_ms`` (event times, ms since 1970 UTC), ``users``, and the shares of its rows whose
        user (``known_user_share``) or whose exact copy (``copy_share``) is among the train rows.
    """
    train_users = set(split.train["user_id"])
    train_rows = _contents(split.train)
    report = {}
    for name, part in split.parts().items():
        frauds = int(part["is_fraud"].sum())
        of_train = (
            {}
            if part is split.train
            else {
                "known_user_share": float(part["user_id"].isin(train_users).mean()),
                "copy_share": float(_contents(part).isin(train_rows).mean()),
            }
        )
        report[name] = {
            "rows": len(part),
            "frauds": frauds,
            "fraud_share": frauds / len(part),
            "first_ms": int(part["event_time_ms"].min()),
            "last_ms": int(part["event_time_ms"].max()),
            "users": int(part["user_id"].nunique()),
            **of_train,
        }
    return report


def _check_part(name: str, part: pd.DataFrame) -> None:
    frauds = int(part["is_fraud"].sum())
    if frauds in (0, len(part)):
        raise OneClassError(
            f"{frauds} of the {len(part)} {name} rows are fraud, each part needs both kinds; give "
            "a longer range, or leave --split out"
        )
    with_history = part[part[BATCH_NAMES[0]] > 0]
    try:
        check_null_share(part.drop(columns=list(BATCH_NAMES)))
        check_null_share(with_history)
    except NullShareError as error:
        raise NullShareError(f"of the {name} rows, {error}") from error


def _check_duplicates(split: Split) -> None:
    parts = split.parts()
    names = np.repeat(list(parts), [len(part) for part in parts.values()])
    table = pd.concat(parts.values())
    repeated = table["transaction_id"].duplicated(keep=False).to_numpy()
    if repeated.any():
        first = table["transaction_id"].iloc[int(np.argmax(repeated))]
        where = sorted(set(names[(table["transaction_id"] == first).to_numpy()]))
        raise DuplicateRowsError(
            f"{int(repeated.sum())} rows share their transaction_id with another row, the first "
            f"{first!r} in {' and '.join(where)}; `weir archive verify` says whether the archive "
            "is right"
        )
    seen = _contents(split.train)
    for name in ("validation", "test"):
        contents = _contents(parts[name])
        is_copy = contents.isin(seen)
        if is_copy.mean() > COPY_SHARE_MAX:
            example = parts[name]["transaction_id"][is_copy.to_numpy()].iloc[0]
            raise DuplicateRowsError(
                f"{int(is_copy.sum())} of {len(contents)} {name} rows have the user, merchant, "
                f"amount and time of a row of an earlier part, the first {example!r}: a producer "
                "sends one transaction under several ids, and a model would be judged on rows "
                "that it was fitted on; correct the producer, or take --split time"
            )
        seen = pd.concat([seen, contents])


def _check_order(split: Split) -> None:
    newest_ms, before = -1, ""
    for name, part in split.parts().items():
        oldest_ms = int(part["event_time_ms"].min())
        if oldest_ms <= newest_ms:
            raise FutureFeaturesError(
                f"the {name} rows begin at {shown_time(oldest_ms)}, the {before} rows end at "
                f"{shown_time(newest_ms)}: the split is not by time"
            )
        newest_ms, before = int(part["event_time_ms"].max()), name


def _contents(part: pd.DataFrame) -> pd.Series:
    """Give a number for each row; rows of equal content have equal numbers."""
    return pd.util.hash_pandas_object(part[list(_CONTENT)], index=False)
