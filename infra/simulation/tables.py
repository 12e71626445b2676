"""Reads tables of transactions as events.

A mapping (`columns.py`) says which column is which field and in what unit. Knows files and events,
no Kafka. Called by `weir replay`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.simulation.columns import ColumnMapping, TableError, check_columns
from infra.simulation.event import Event, label_event, transaction_event
from schemas.label import Label
from schemas.transaction import Transaction


def opened(path: Path) -> pq.ParquetFile:
    """Open a Parquet file.

    Raises:
        TableError: the file does not exist or is no Parquet file.
    """
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise TableError(f"{path} is not a readable Parquet file: {error}") from error


class TransactionTable:
    """A table of transactions in event-time order, with the fraud reports that follow them.

    Args:
        path: a Parquet file with the columns of the mapping, rows in any order (rows with equal
            event times keep the order of the file).
        mapping: the columns.
        currency: currency of all amounts, ISO 4217.
        from_ms: earliest event time of a row, inclusive; None for no limit.
        to_ms: latest event time of a row, exclusive; None for no limit.
        label_delay_ms: time from a fraud to its report, ms.

    Raises:
        TableError: the file cannot be read, or a column is missing, of a wrong type, or has nulls.
    """

    def __init__(
        self,
        path: Path,
        *,
        mapping: ColumnMapping,
        currency: str,
        label_delay_ms: int,
        from_ms: int | None = None,
        to_ms: int | None = None,
    ) -> None:
        file = opened(path)
        present = file.schema_arrow.names
        check_columns(path, present, wanted=mapping.required, mapping=mapping.name)
        known = (*mapping.required, mapping.is_fraud, *(name for _, name in mapping.optional))
        table = file.read(columns=[name for name in dict.fromkeys(known) if name in present])
        _refuse_nulls(path, table, mapping)
        table = table.append_column("__ms", _times_ms(path, table[mapping.event_time]))
        self._table = _between(table, from_ms=from_ms, to_ms=to_ms)
        self._mapping = mapping
        self._currency = currency
        self._label_delay_ms = label_delay_ms
        self._path = path

    def __len__(self) -> int:
        """Number of transactions."""
        return int(self._table.num_rows)

    def events(self) -> Iterator[Event]:
        """All transactions and fraud reports in order of due time, marked as a replay.

        A report comes before a transaction of the same time, because it is known then.

        Raises:
            TableError: an amount is not a number or is negative.
        """
        reports = self._reports()
        report = next(reports, None)
        for transaction in self._transactions():
            while report is not None and report.due_ms <= transaction.event_time_ms:
                yield report
                report = next(reports, None)
            yield transaction_event(transaction, is_replay=True)
        while report is not None:
            yield report
            report = next(reports, None)

    def _transactions(self) -> Iterator[Transaction]:
        for part in self._table.to_batches(max_chunksize=10_000):
            yield from self._rows(pa.Table.from_batches([part]))

    def _rows(self, part: pa.Table) -> Iterator[Transaction]:
        mapping = self._mapping
        optional = [
            _texts(part[name]) if name in part.column_names else [None] * part.num_rows
            for name in ("device_type", "ip_country")
        ]
        columns = (
            _texts(part[mapping.transaction_id]),
            _texts(part[mapping.user_id]),
            _texts(part[mapping.merchant_id]),
            _amounts_minor(self._path, part[mapping.amount], is_major=mapping.is_major),
            part["__ms"].to_pylist(),
            *optional,
        )
        for identity, user, merchant, amount, time_ms, device, country in zip(
            *columns, strict=True
        ):
            yield Transaction(
                transaction_id=identity,
                user_id=user,
                merchant_id=merchant,
                amount_minor=amount,
                currency=self._currency,
                event_time_ms=time_ms,
                device_type=device,
                ip_country=country,
            )

    def _reports(self) -> Iterator[Event]:
        """Fraud reports in order of due time: all have the same delay, so the order of the rows."""
        mapping = self._mapping
        if mapping.is_fraud not in self._table.column_names:
            return
        frauds = self._table.filter(pc.equal(pc.cast(self._table[mapping.is_fraud], pa.int8()), 1))
        for identity, merchant, time_ms in zip(
            _texts(frauds[mapping.transaction_id]),
            _texts(frauds[mapping.merchant_id]),
            frauds["__ms"].to_pylist(),
            strict=True,
        ):
            label = Label(
                transaction_id=identity,
                merchant_id=merchant,
                event_time_ms=time_ms,
                observed_time_ms=time_ms + self._label_delay_ms,
                is_fraud=True,
            )
            yield label_event(label, is_replay=True)


def _refuse_nulls(path: Path, table: pa.Table, mapping: ColumnMapping) -> None:
    for name in mapping.required:
        if table[name].null_count:
            raise TableError(f"{path}: column {name} has {table[name].null_count} nulls, allowed 0")


def _times_ms(path: Path, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Event times as integer ms; a timestamp without a zone is UTC."""
    if pa.types.is_timestamp(column.type):
        return pc.cast(pc.cast(column, pa.timestamp("ms", column.type.tz), safe=False), pa.int64())
    if pa.types.is_integer(column.type):
        return pc.cast(column, pa.int64())
    raise TableError(f"{path}: event time is {column.type}, expected a timestamp or integer ms")


def _between(table: pa.Table, *, from_ms: int | None, to_ms: int | None) -> pa.Table:
    """Rows within the limits in order of event time; equal times keep their order."""
    times_ms = table["__ms"].to_numpy()
    keep = np.ones(len(times_ms), dtype=np.bool_)
    if from_ms is not None:
        keep &= times_ms >= from_ms
    if to_ms is not None:
        keep &= times_ms < to_ms
    chosen = np.flatnonzero(keep)
    return table.take(chosen[np.argsort(times_ms[chosen], kind="stable")]).combine_chunks()


def _texts(column: pa.ChunkedArray) -> list[str]:
    texts: list[str] = pc.cast(column, pa.string()).to_pylist()
    return texts


def _amounts_minor(path: Path, column: pa.ChunkedArray, *, is_major: bool) -> list[int]:
    """Amounts in minor units; amounts in major units are rounded, which removes float errors."""
    amounts = column.to_numpy()
    if amounts.dtype.kind not in "iuf" or not np.all(np.isfinite(amounts)) or np.any(amounts < 0):
        raise TableError(f"{path}: amounts must be numbers, finite and not negative")
    if is_major:
        amounts = np.rint(amounts * 100.0)
    elif amounts.dtype.kind == "f":
        raise TableError(f"{path}: amounts in minor units must be integers, not {amounts.dtype}")
    result: list[int] = amounts.astype(np.int64).tolist()
    return result
