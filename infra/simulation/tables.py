"""Tables of transactions, read as events: other people's columns become our wire names.

A mapping says which column is which and in what unit; the rest is the same for every table.
Knows files and events, no Kafka. Called by `weir replay`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.simulation.event import Event, label_event, transaction_event
from schemas.errors import WeirError
from schemas.label import Label
from schemas.transaction import Transaction


class TableError(WeirError):
    """A table is not what its mapping says: names the file, the columns and what was expected."""


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """Which column of a table is which field of a transaction.

    Attributes:
        name: as given to `--columns`.
        transaction_id: any type, taken as text.
        event_time: a timestamp (UTC), or integer ms since 1970 UTC.
        user_id: any type, taken as text.
        merchant_id: any type, taken as text.
        amount: the amount.
        is_major: the amount is in major units with a fraction, to be rounded to minor units.
        is_fraud: 0/1 or boolean; may be absent from the table when `fraud_is_optional`.
        fraud_is_optional: without the column there are no fraud reports.
        optional: further columns, by field, used where the table has them.
    """

    name: str
    transaction_id: str
    event_time: str
    user_id: str
    merchant_id: str
    amount: str
    is_major: bool
    is_fraud: str
    fraud_is_optional: bool
    optional: tuple[tuple[str, str], ...] = ()

    @property
    def required(self) -> tuple[str, ...]:
        """Columns without which the table cannot be read."""
        fraud = () if self.fraud_is_optional else (self.is_fraud,)
        ids = (self.transaction_id, self.event_time, self.user_id, self.merchant_id)
        return (*ids, self.amount, *fraud)


HANDBOOK: Final = ColumnMapping(
    name="handbook",
    transaction_id="TRANSACTION_ID",
    event_time="TX_DATETIME",
    user_id="CUSTOMER_ID",
    merchant_id="TERMINAL_ID",
    amount="TX_AMOUNT",
    is_major=True,
    is_fraud="TX_FRAUD",
    fraud_is_optional=False,
)
"""The tables of the Fraud Detection Handbook's simulator."""

WEIR: Final = ColumnMapping(
    name="weir",
    transaction_id="transaction_id",
    event_time="event_time_ms",
    user_id="user_id",
    merchant_id="merchant_id",
    amount="amount_minor",
    is_major=False,
    is_fraud="is_fraud",
    fraud_is_optional=True,
    optional=(("device_type", "device_type"), ("ip_country", "ip_country")),
)
"""Our own wire names; `is_fraud`, `device_type` and `ip_country` may be absent."""

MAPPINGS: Final = {mapping.name: mapping for mapping in (HANDBOOK, WEIR)}


def check_columns(path: Path, present: list[str], *, wanted: tuple[str, ...], mapping: str) -> None:
    """Refuse a table without a column it needs.

    Raises:
        TableError: names what is missing, what is there, and the mapping that would fit.
    """
    missing = [name for name in wanted if name not in present]
    if not missing:
        return
    fits = [m.name for m in MAPPINGS.values() if set(m.required) <= set(present)]
    hint = f"it fits `--columns {fits[0]}`" if fits else f"it has {', '.join(present[:12])}"
    raise TableError(f"{path}: mapping {mapping!r} needs {', '.join(missing)}; {hint}")


def opened(path: Path) -> pq.ParquetFile:
    """Open a Parquet file.

    Raises:
        TableError: it is not there, or no Parquet file.
    """
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise TableError(f"{path} is not a readable Parquet file: {error}") from error


class TransactionTable:
    """A table of transactions in event-time order, with the fraud reports that follow them.

    Args:
        path: a Parquet file; columns as the mapping says, rows in any order (equal event times
            keep the order of the file).
        mapping: which column is which.
        currency: of all amounts, ISO 4217.
        from_ms: leave out rows before; None for no bound.
        to_ms: leave out rows at or after; None for no bound.
        label_delay_ms: from a fraud to its report.

    Raises:
        TableError: unreadable, a column is missing, of a wrong type, or has nulls.
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
        """How many transactions there are."""
        return int(self._table.num_rows)

    def events(self) -> Iterator[Event]:
        """All transactions and fraud reports by due time, as a replay.

        A report goes before a transaction of the same time: it is known then.

        Raises:
            TableError: an amount that is no number or negative.
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
        """Fraud reports in order: all are equally late, so their order is the transactions'."""
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
    """Rows within the bounds by event time; equal times keep their order."""
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
    """Amounts in minor units; major units are rounded, which takes away float noise."""
    amounts = column.to_numpy()
    if amounts.dtype.kind not in "iuf" or not np.all(np.isfinite(amounts)) or np.any(amounts < 0):
        raise TableError(f"{path}: amounts must be numbers, finite and not negative")
    if is_major:
        amounts = np.rint(amounts * 100.0)
    elif amounts.dtype.kind == "f":
        raise TableError(f"{path}: amounts in minor units must be integers, not {amounts.dtype}")
    result: list[int] = amounts.astype(np.int64).tolist()
    return result
