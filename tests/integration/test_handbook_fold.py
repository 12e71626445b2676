"""The fold against the published features of the Fraud Detection Handbook, value by value.

The published numbers were computed by other code over the same transactions. The files carry no
licence, so they are not part of the project: the test looks for them beside the checkout and is
skipped where they are absent. The test covers one month; all four months are

    WEIR_HANDBOOK_UNTIL=2018-08-01 python -m pytest tests/integration/test_handbook_fold.py -s
"""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from features.definitions import DAY_MS
from features.engine.state import MerchantState, UserState
from features.on_demand import on_demand_features
from schemas.label import Label

HANDBOOK = Path(__file__).resolve().parents[3] / "shared" / "handbook"
UNTIL = os.environ.get("WEIR_HANDBOOK_UNTIL", "2018-05-01")

TIED_PAIRS = ((163831, 163832), (121453, 121454), (619758, 619759), (174806, 174807))
"""Transactions of one customer in one second that the publisher's sort reversed."""

COUNTS = {
    f"user_transaction_count_{days}d": f"CUSTOMER_ID_NB_TX_{days}DAY_WINDOW" for days in (1, 7, 30)
}
MEANS = {
    f"user_amount_mean_{days}d": f"CUSTOMER_ID_AVG_AMOUNT_{days}DAY_WINDOW" for days in (1, 7, 30)
}
OTHERS = {
    **{
        f"merchant_transaction_count_{days}d_delay_7d": f"TERMINAL_ID_NB_TX_{days}DAY_WINDOW"
        for days in (1, 7, 30)
    },
    **{
        f"merchant_fraud_rate_{days}d_delay_7d": f"TERMINAL_ID_RISK_{days}DAY_WINDOW"
        for days in (1, 7, 30)
    },
    "is_night": "TX_DURING_NIGHT",
    "is_weekend": "TX_DURING_WEEKEND",
}

pytestmark = pytest.mark.skipif(
    not HANDBOOK.is_dir(), reason="../shared/handbook is absent: the handbook's tables, unlicensed"
)


class Row(NamedTuple):
    """One transaction and what was published about it."""

    transaction_id: int
    time_ms: int
    user_id: str
    merchant_id: str
    amount_minor: int
    is_fraud: bool
    published: dict[str, Any]


def handbook_rows() -> Iterator[Row]:
    import pandas as pd

    transactions = pd.read_parquet(HANDBOOK / "transactions.parquet")
    published = pd.read_parquet(HANDBOOK / "velocity_oracle.parquet")
    in_time = transactions["TX_DATETIME"] < pd.Timestamp(UNTIL)
    transactions, published = transactions[in_time], published[in_time]
    assert (transactions["TRANSACTION_ID"] == published["TRANSACTION_ID"]).all()
    columns = [published[column].tolist() for column in published.columns]
    rows = zip(
        transactions["TRANSACTION_ID"].tolist(),
        (transactions["TX_DATETIME"].astype("datetime64[ms]").astype("int64")).tolist(),
        transactions["CUSTOMER_ID"].astype(str).tolist(),
        transactions["TERMINAL_ID"].astype(str).tolist(),
        (transactions["TX_AMOUNT"] * 100).round().astype("int64").tolist(),
        (transactions["TX_FRAUD"] == 1).tolist(),
        zip(*columns, strict=True),
        strict=True,
    )
    names = list(published.columns)
    for *fields, values in rows:
        yield Row(*fields, dict(zip(names, values, strict=True)))


@pytest.mark.timeout(1_800)
def test_every_published_feature_is_what_the_fold_computes() -> None:
    users: defaultdict[str, UserState] = defaultdict(UserState)
    merchants: defaultdict[str, MerchantState] = defaultdict(MerchantState)
    compared, different = Counter[str](), Counter[str]()
    tied = {transaction_id for pair in TIED_PAIRS for transaction_id in pair}
    for row in handbook_rows():
        features = fold(users, merchants, row)
        for name, column in {**COUNTS, **MEANS, **OTHERS}.items():
            if row.transaction_id in tied and column.startswith("CUSTOMER"):
                continue
            value, expected = features[name], row.published[column]
            if name in MEANS:
                # Published in units, with float noise: of a payment of nothing -3.6e-15.
                is_equal = math.isclose(value / 100, expected, rel_tol=1e-9, abs_tol=1e-9)
            else:
                is_equal = value == expected
            compared[name] += 1
            different[name] += not is_equal
    print(f"\n{sum(compared.values()):,} values compared, {sum(different.values()):,} different")
    assert set(compared) == {*COUNTS, *MEANS, *OTHERS}
    assert min(compared.values()) > 250_000
    assert not +different


def fold(
    users: Mapping[str, UserState], merchants: Mapping[str, MerchantState], row: Row
) -> dict[str, Any]:
    """Fold a transaction, then its label: reported a week later, as the publisher assumes."""
    transaction_id = str(row.transaction_id)
    of_user = users[row.user_id].fold(
        transaction_id=transaction_id,
        merchant_id=row.merchant_id,
        amount_minor=row.amount_minor,
        event_time_ms=row.time_ms,
    )
    merchant = merchants[row.merchant_id]
    of_merchant = merchant.fold_transaction(
        transaction_id=transaction_id, event_time_ms=row.time_ms, is_repeat=False
    )
    if row.is_fraud:
        observed_ms = row.time_ms + 7 * DAY_MS
        merchant.fold_label(Label(transaction_id, row.merchant_id, row.time_ms, observed_ms, True))
    assert of_user.approximate == of_merchant.approximate == ()
    return {**of_user.features, **of_merchant.features, **on_demand_features(row.time_ms)}
