from dataclasses import replace

import numpy as np
import pytest

from clients.log_record import Record
from features.definitions import FEATURE_NAMES
from schemas.codec import encode_label
from schemas.label import Label
from schemas.output_codec import encode_feature_row
from tests.builders import LABEL, LIMITS, NOW_MS
from tests.scoring_fakes import feature_row
from training.archive.tables import TRANSACTION_COLUMNS
from training.datasets.read_log import feature_table, label_table
from training.errors import NoFeatureRowsError


def log(*values: bytes | None, partition: int = 0) -> list[Record]:
    return [Record(partition, offset, NOW_MS, value) for offset, value in enumerate(values)]


def row_bytes(transaction_id: str, count: int = 0, **changes: object) -> bytes:
    row = feature_row(transaction_id, features={"user_transaction_count_5m": count})
    return encode_feature_row(replace(row, **changes))  # type: ignore[arg-type]


def test_the_first_row_of_a_transaction_counts_with_its_log_offset() -> None:
    table = feature_table(log(row_bytes("t-1", 1), row_bytes("t-2", 2), row_bytes("t-1", 3)))
    assert table["transaction_id"].tolist() == ["t-1", "t-2"]
    assert table["user_transaction_count_5m"].tolist() == [1, 2]
    assert table["log_offset"].tolist() == [0, 1]


def test_the_columns_are_transaction_features_and_log_offset() -> None:
    table = feature_table(log(row_bytes("t-1")))
    places = ("log_partition", "log_offset")
    assert tuple(table.columns) == (*TRANSACTION_COLUMNS, *FEATURE_NAMES, *places)
    assert {str(table[name].dtype) for name in FEATURE_NAMES} == {"float64"}


def test_no_value_is_nan_and_not_zero() -> None:
    row = feature_row(features={"user_amount_mean_5m": None})
    assert np.isnan(feature_table(log(encode_feature_row(row)))["user_amount_mean_5m"][0])


def test_rows_that_the_scorer_would_not_score_by_a_model_are_left_out() -> None:
    others = row_bytes("t-2", definition_digest="another")
    incomplete = row_bytes("t-3", features={})
    table = feature_table(log(row_bytes("t-1"), others, incomplete, b"junk", None))
    assert table["transaction_id"].tolist() == ["t-1"]


@pytest.mark.parametrize(
    "values", [(), (b"junk",), (row_bytes("t-1", definition_digest="another"),)]
)
def test_a_log_without_a_usable_row_says_what_to_do(values: tuple[bytes, ...]) -> None:
    with pytest.raises(NoFeatureRowsError, match="send transactions first"):
        feature_table(log(*values))


def label(*, is_fraud: bool, observed_ms: int, transaction_id: str = "t-1") -> bytes:
    return encode_label(Label(transaction_id, "m-1", LABEL.event_time_ms, observed_ms, is_fraud))


def test_the_latest_observation_of_a_transaction_counts_whenever_it_arrives() -> None:
    values = [
        label(is_fraud=False, observed_ms=NOW_MS),
        label(is_fraud=True, observed_ms=NOW_MS - 1),
    ]
    for order in (values, values[::-1]):
        assert label_table(log(*order), limits=LIMITS)["is_fraud"].tolist() == [False]


def test_an_observation_after_the_time_given_is_not_known_yet() -> None:
    values = [
        label(is_fraud=True, observed_ms=NOW_MS),
        label(is_fraud=False, observed_ms=253_402_300_799_000),
    ]
    table = label_table(log(*values), limits=LIMITS, as_of_ms=NOW_MS)
    assert table["is_fraud"].tolist() == [True]
    assert label_table(log(*values), limits=LIMITS, as_of_ms=NOW_MS - 1).empty


def test_of_equal_times_the_later_arrival_counts() -> None:
    values = [label(is_fraud=fraud, observed_ms=NOW_MS) for fraud in (True, False)]
    assert label_table(log(*values), limits=LIMITS)["is_fraud"].tolist() == [False]
    assert label_table(log(*values[::-1]), limits=LIMITS)["is_fraud"].tolist() == [True]


def test_a_label_the_stream_refuses_is_left_out() -> None:
    table = label_table(log(b"junk", label(is_fraud=True, observed_ms=NOW_MS)), limits=LIMITS)
    assert len(table) == 1


def test_no_labels_are_an_empty_table() -> None:
    assert len(label_table([], limits=LIMITS)) == 0
