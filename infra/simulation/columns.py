"""Which columns of a table of transactions are which fields of a transaction.

A mapping names the columns and the unit of the amount. `tables.py` reads tables by a mapping;
`weir replay --columns` chooses one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from schemas.errors import WeirError


class TableError(WeirError):
    """A table does not match its mapping; names the file, the columns and what was expected."""


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """The columns of a table by the fields of a transaction.

    Attributes:
        name: name of the mapping, for `--columns`.
        transaction_id: column of any type, converted to text.
        event_time: column of timestamps (UTC), or of integer ms since 1970 UTC.
        user_id: column of any type, converted to text.
        merchant_id: column of any type, converted to text.
        amount: column of the amount.
        is_major: whether the amount is in major units with a fraction, to be rounded to minor
            units.
        is_fraud: column of 0/1 or of booleans.
        fraud_is_optional: whether the table may lack that column; there are no fraud reports then.
        optional: further columns, by field, used if the table has them.
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
        """Columns that the table must have."""
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
"""Weir's own names; `is_fraud`, `device_type` and `ip_country` may be absent."""

MAPPINGS: Final = {mapping.name: mapping for mapping in (HANDBOOK, WEIR)}


def check_columns(path: Path, present: list[str], *, wanted: tuple[str, ...], mapping: str) -> None:
    """Refuse a table that lacks a column.

    Raises:
        TableError: names the missing columns, and the mapping that fits or the columns there are.
    """
    missing = [name for name in wanted if name not in present]
    if not missing:
        return
    fits = [m.name for m in MAPPINGS.values() if set(m.required) <= set(present)]
    hint = f"it fits `--columns {fits[0]}`" if fits else f"it has {', '.join(present[:12])}"
    raise TableError(f"{path}: mapping {mapping!r} needs {', '.join(missing)}; {hint}")
