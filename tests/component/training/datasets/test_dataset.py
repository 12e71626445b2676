import numpy as np
import pandas as pd

from training.datasets.dataset import statistics


def test_statistics_describe_each_column_of_numbers() -> None:
    table = pd.DataFrame(
        {
            "transaction_id": ["a", "b", "c", "d"],
            "amount_minor": [1.0, 2.0, 3.0, np.nan],
            "is_fraud": [True, False, False, False],
        }
    )
    found = statistics(table)
    assert found.index.tolist() == ["amount_minor"]
    assert found.loc["amount_minor"].to_dict() == {
        "rows": 4.0,
        "nulls": 1.0,
        "mean": 2.0,
        "std": 1.0,
        "min": 1.0,
        "median": 2.0,
        "max": 3.0,
        "mean_fraud": 1.0,
        "mean_legitimate": 2.5,
    }
