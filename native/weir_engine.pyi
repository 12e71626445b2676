"""The engine as Python calls it; native/src/python.rs says what each call does."""

from collections.abc import Sequence
from typing import final

__all__ = [
    "DecisionForm",
    "Decisions",
    "Job",
    "MatrixForm",
    "Plan",
    "ReadRows",
    "RecordReader",
    "RowReader",
    "State",
    "StateBytesError",
    "__version__",
]

__version__: str
"""Version of the crate, as in native/Cargo.toml."""

class StateBytesError(ValueError):
    """Bytes that are no state of this kind, of this format and of these definitions."""

_Values = tuple[dict[str, int | float | None], tuple[str, ...], int, bool]
"""Features by name, the names that are approximate, the sequence, whether it is a repeat."""

@final
class Plan:
    """The definitions of all entities, compiled."""

    def __new__(cls, json: str) -> Plan: ...
    def new_state(self, entity: int) -> State: ...
    def decode_state(self, entity: int, data: bytes) -> State: ...

@final
class State:
    """The state of one key. Not for two threads at once."""

    @property
    def sequence(self) -> int: ...
    @property
    def newest_ms(self) -> int | None: ...
    @property
    def is_online(self) -> bool: ...
    def fold(
        self,
        *,
        id: str,
        time_ms: int,
        value: int = 0,
        distinct: str = "",
        is_repeat: bool = False,
    ) -> _Values: ...
    def peek(self, *, id: str, time_ms: int, value: int = 0, distinct: str = "") -> _Values: ...
    def read(self, *, as_of_ms: int) -> _Values: ...
    def fold_label(self, *, id: str, time_ms: int, observed_ms: int, is_positive: bool) -> None: ...
    def encode(self) -> bytes: ...
    def encode_online(self) -> bytes: ...

@final
class Job:
    """One operator of the job: decodes and folds a batch at a time. Safe for use by two threads."""

    def __new__(
        cls,
        plan: str,
        wire: str,
        *,
        first: int,
        end: int,
        live_keys_max: int,
        changed_keys_max: int,
        layouts: Sequence[str | None],
    ) -> Job: ...
    def begin(self, batch: bytes, now_ms: int) -> list[int]: ...
    def left(self, position: int) -> bytes: ...
    def supply(
        self, position: int, fields: Sequence[str | int | bool | None], is_replay: bool
    ) -> None: ...
    def refuse(self, position: int, frame: bytes) -> None: ...
    def missing(self) -> bytes: ...
    def restore(self, journals: bytes) -> None: ...
    def finish(self, now_ms: int) -> bytes: ...
    def snapshot(self, entity: int, key: str) -> bytes | None: ...
    def sequence(self, entity: int, key: str) -> int | None: ...
    def live_len(self, entity: int) -> int: ...
    def changed_len(self, entity: int) -> int: ...
    def dropped_total(self, entity: int) -> int: ...
    def take_changed(self, entity: int, keys_max: int) -> tuple[list[bytes], list[bytes]]: ...
    def confirm(self, entity: int) -> None: ...
    def give_back(self, entity: int) -> None: ...
    def mark_all(self, entity: int) -> None: ...
    def mark_journals(self, entity: int, stored: bytes) -> int: ...

@final
class RowReader:
    """Reads the feature rows of one form."""

    def __new__(cls, json: str) -> RowReader: ...
    def read(self, values: Sequence[bytes | None]) -> ReadRows: ...

@final
class MatrixForm:
    """The columns of the vectors of one model."""

    def __new__(cls, json: str, reader: RowReader) -> MatrixForm: ...

@final
class ReadRows:
    """The rows of a batch; those of another form are not taken."""

    def taken(self) -> list[int]: ...
    def matrix(self, form: MatrixForm, positions: Sequence[int]) -> bytes: ...
    def wanted(self, positions: Sequence[int]) -> list[tuple[bytes, ...]]: ...
    def repeated(self, position: int) -> bytes: ...

@final
class DecisionForm:
    """How decisions of one model by one policy are made and written."""

    def __new__(cls, json: str, reader: RowReader) -> DecisionForm: ...

@final
class Decisions:
    """Decisions about some rows of a batch, by position among them. Not for two threads at once."""

    def __new__(
        cls,
        form: DecisionForm,
        rows: ReadRows,
        *,
        positions: Sequence[int],
        scores: Sequence[float],
        vector_digests: Sequence[str],
        places: Sequence[tuple[int, int]],
        batch: Sequence[tuple[bytes, bytes, bytes]] | None = None,
    ) -> Decisions: ...
    def outcomes(self) -> list[int]: ...
    def change(self, at: int, outcome: int, reason: str | None) -> None: ...
    def kept(self, at: Sequence[int], context: bytes, now_ms: int) -> list[bytes]: ...
    def encode(
        self, at: Sequence[int], now_ms: int, degraded: bytes, more: bytes
    ) -> list[bytes]: ...

@final
class RecordReader:
    """Reads the records of a log into columns."""

    def __new__(cls, shape: str) -> RecordReader: ...
    def read(
        self, records: Sequence[bytes | None]
    ) -> tuple[list[int], list[tuple[int, list[bytes | None]]]]: ...
