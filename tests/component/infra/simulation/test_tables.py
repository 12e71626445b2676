from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.simulation.columns import HANDBOOK, WEIR, ColumnMapping, TableError
from infra.simulation.tables import TransactionTable
from schemas.topics import LABELS, TRANSACTIONS

HOUR_MS = 3_600_000
# As a table has it: without a zone, and UTC.
T0 = datetime(2018, 4, 1, 0, 0, 31)  # noqa: DTZ001
T0_MS = 1_522_540_831_000


def handbook_columns(**changes: list[Any]) -> dict[str, list[Any]]:
    return {
        "TRANSACTION_ID": [0, 1, 2],
        "TX_DATETIME": [T0, T0.replace(hour=2), T0.replace(day=2)],
        "CUSTOMER_ID": [596, 596, 7],
        "TERMINAL_ID": [3156, 12, 12],
        "TX_AMOUNT": [57.16, 44.300000000000004, 0.29],
        "TX_FRAUD": [1, 0, 0],
        "TX_FRAUD_SCENARIO": [1, 0, 0],
        **changes,
    }


def written(tmp_path: Path, columns: dict[str, list[Any]]) -> Path:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def table(path: Path, mapping: ColumnMapping = HANDBOOK, **changes: Any) -> TransactionTable:
    given = {"currency": "EUR", "label_delay_ms": 24 * HOUR_MS, **changes}
    return TransactionTable(path, mapping=mapping, **given)


def test_handbook_columns_become_our_fields_with_amounts_in_cents(tmp_path: Path) -> None:
    events = list(table(written(tmp_path, handbook_columns())).events())
    first = next(event for event in events if event.topic == TRANSACTIONS)
    assert orjson.loads(first.value) == {
        "transaction_id": "0",
        "user_id": "596",
        "merchant_id": "3156",
        "amount_minor": 5_716,
        "currency": "EUR",
        "event_time_ms": T0_MS,
    }
    amounts = [
        orjson.loads(event.value)["amount_minor"] for event in events if event.topic == TRANSACTIONS
    ]
    assert amounts == [5_716, 4_430, 29]
    assert all(event.is_replay for event in events)


def test_a_fraud_is_reported_after_the_delay_and_before_transactions_of_that_time(
    tmp_path: Path,
) -> None:
    events = list(table(written(tmp_path, handbook_columns())).events())
    # Transaction 2 happens exactly 24 hours after the fraud: the report is known then.
    assert [(event.topic, event.due_ms - T0_MS) for event in events] == [
        (TRANSACTIONS, 0),
        (TRANSACTIONS, 2 * HOUR_MS),
        (LABELS, 24 * HOUR_MS),
        (TRANSACTIONS, 24 * HOUR_MS),
    ]
    assert orjson.loads(events[2].value) == {
        "transaction_id": "0",
        "merchant_id": "3156",
        "event_time_ms": T0_MS,
        "observed_time_ms": T0_MS + 24 * HOUR_MS,
        "is_fraud": True,
    }


def test_reports_after_the_last_transaction_are_sent_too(tmp_path: Path) -> None:
    columns = handbook_columns(TX_FRAUD=[0, 1, 1])
    events = list(table(written(tmp_path, columns)).events())
    assert [event.topic for event in events] == [TRANSACTIONS] * 3 + [LABELS] * 2


def test_the_column_with_the_scenario_is_not_read(tmp_path: Path) -> None:
    events = list(table(written(tmp_path, handbook_columns())).events())
    assert b"cenario" not in b"".join(event.value for event in events).lower()


def test_rows_in_any_order_are_sent_in_order_and_ties_keep_the_order_of_the_file(
    tmp_path: Path,
) -> None:
    columns = handbook_columns(TX_DATETIME=[T0.replace(day=3), T0, T0], TX_FRAUD=[0, 0, 0])
    events = list(table(written(tmp_path, columns)).events())
    assert [event.event_id for event in events] == ["1", "2", "0"]


@pytest.mark.parametrize(
    ("bounds", "ids"),
    [
        ({"from_ms": T0_MS + 1}, ["1", "2"]),
        ({"from_ms": T0_MS}, ["0", "1", "2"]),
        ({"to_ms": T0_MS + 24 * HOUR_MS}, ["0", "1"]),
        ({"to_ms": T0_MS + 24 * HOUR_MS + 1}, ["0", "1", "2"]),
        ({"from_ms": T0_MS + 1, "to_ms": T0_MS + 2}, []),
    ],
)
def test_from_is_included_and_to_is_not(
    tmp_path: Path, bounds: dict[str, int], ids: list[str]
) -> None:
    path = written(tmp_path, handbook_columns(TX_FRAUD=[0, 0, 0]))
    chosen = table(path, **bounds)
    assert [event.event_id for event in chosen.events()] == ids
    assert len(chosen) == len(ids)


def weir_columns(**changes: list[Any]) -> dict[str, list[Any]]:
    return {
        "transaction_id": ["a", "b"],
        "user_id": ["u", "u"],
        "merchant_id": ["m", "m"],
        "amount_minor": [1, 10**12],
        "currency": ["EUR", "EUR"],
        "event_time_ms": [T0_MS, T0_MS + 1],
        **changes,
    }


def test_our_own_names_need_no_fraud_and_may_bring_device_and_country(tmp_path: Path) -> None:
    path = written(tmp_path, weir_columns(device_type=["mobile", None], ip_country=[None, "DE"]))
    bodies = [orjson.loads(event.value) for event in table(path, WEIR).events()]
    assert [body.get("device_type") for body in bodies] == ["mobile", None]
    assert [body.get("ip_country") for body in bodies] == [None, "DE"]
    assert [body["amount_minor"] for body in bodies] == [1, 10**12]


def test_a_missing_column_is_named_and_the_mapping_that_fits_is_hinted(tmp_path: Path) -> None:
    path = written(tmp_path, handbook_columns())
    with pytest.raises(TableError, match=r"needs transaction_id, .*--columns handbook"):
        table(path, WEIR)
    columns = handbook_columns()
    del columns["TX_FRAUD"]
    with pytest.raises(TableError, match=r"needs TX_FRAUD; it has TRANSACTION_ID"):
        table(written(tmp_path, columns))


def test_what_is_no_table_of_transactions_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"nowhere.parquet is not a readable Parquet file"):
        table(tmp_path / "nowhere.parquet")
    text = tmp_path / "text.parquet"
    text.write_text("TRANSACTION_ID\n1\n")
    with pytest.raises(TableError, match=r"text.parquet is not a readable Parquet file"):
        table(text)
    nulls = handbook_columns(CUSTOMER_ID=[596, None, 7])
    with pytest.raises(TableError, match="CUSTOMER_ID has 1 nulls"):
        table(written(tmp_path, nulls))
    with pytest.raises(TableError, match="event time is string"):
        table(written(tmp_path, handbook_columns(TX_DATETIME=["x", "y", "z"])))


@pytest.mark.parametrize("amounts", [[-0.01, 1.0, 1.0], [float("nan"), 1.0, 1.0], ["1", "2", "3"]])
def test_an_amount_that_is_none_is_refused(tmp_path: Path, amounts: list[Any]) -> None:
    path = written(tmp_path, handbook_columns(TX_AMOUNT=amounts))
    with pytest.raises(TableError, match="amounts must be numbers"):
        list(table(path).events())
