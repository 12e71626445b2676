"""Runs the backfill's folds on the Flink cluster of a stack: files in, a process, files out.

Bridges the rooms: tables of `training.archive.backfill_input` become the frames that
`streams.backfill.job` folds, and its rows become bytes again. Called by `run`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa

from features.definitions import DEFINITION_DIGEST
from operations.flink_client import FlinkClient
from schemas.errors import WeirError
from schemas.topics import LABELS, REPLAY_HEADER, TRANSACTIONS
from streams.backfill.frames import FoldPlace, encode_entry
from streams.backfill.plan import BackfillPlan
from streams.velocity.record_frame import encode_headers, encode_record

_ROWS_AT_ONCE: Final = 10_000
# The event times were compared with the clock when the records came in.
_HEADERS: Final = encode_headers([REPLAY_HEADER])
_TRANSACTION: Final = (
    *("transaction_id", "user_id", "merchant_id", "amount_minor", "currency", "event_time_ms"),
    *("device_type", "ip_country"),
)
_LABEL: Final = ("transaction_id", "merchant_id", "event_time_ms", "observed_time_ms", "is_fraud")


class BackfillFailedError(WeirError):
    """The Flink job of a backfill has failed. Nothing was written to the archive."""


def fold(
    client: FlinkClient,
    *,
    folded: pa.Table,
    labels: pa.Table,
    scratch: Path,
    savepoint: Path | None,
) -> Iterator[bytes]:
    """Fold transactions and labels on a Flink cluster; give the feature rows, encoded.

    Blocks: as long as the folds take.
    On failure: the savepoint may be there in part; nothing points to it.

    Args:
        client: how to submit a job to the cluster.
        folded: as `training.archive.backfill_input.folded_rows` gives it.
        labels: as `folded_labels` gives them.
        scratch: an empty directory, seen by the TaskManagers.
        savepoint: where the states go, and then into Redis, too; None: nowhere.

    Raises:
        BackfillFailedError: the job failed, or Flink does not answer.
    """
    plan = BackfillPlan(
        definition_digest=DEFINITION_DIGEST,
        transactions=str(scratch / "transactions.frames"),
        labels=str(scratch / "labels.frames"),
        rows=str(scratch / "rows"),
        savepoint="" if savepoint is None else str(savepoint),
    )
    _write(Path(plan.transactions), map(_transaction_entry, _rows(folded)))
    _write(Path(plan.labels), map(_label_entry, _numbered(labels)))
    plan.write(scratch / "plan.json")
    _run(client, scratch)
    for path in sorted(Path(plan.rows).rglob("part-*")):
        with path.open("rb") as lines:
            yield from lines


def _run(client: FlinkClient, scratch: Path) -> None:
    if not client.run("streams.backfill.job", [str(scratch / "plan.json")], scratch=scratch):
        raise BackfillFailedError(
            "the backfill's Flink job failed; nothing was written to the archive. "
            f"{client.keep_log(scratch)}"
        )


def _write(path: Path, entries: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        for entry in entries:
            file.write(entry)


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        yield from batch.to_pylist()


def _numbered(labels: pa.Table) -> Iterator[tuple[int, dict[str, Any]]]:
    return enumerate(_rows(labels))


def _transaction_entry(row: dict[str, Any]) -> bytes:
    transaction = {name: row[name] for name in _TRANSACTION if row[name] is not None}
    record = encode_record(
        TRANSACTIONS.encode(),
        key=row["user_id"].encode(),
        value=orjson.dumps(transaction),
        headers_bytes=_HEADERS,
        timestamp_ms=row["origin_timestamp_ms"],
        partition=row["origin_partition"],
        offset=row["origin_offset"],
    )
    place = FoldPlace(row["user_order"], row["merchant_order"], row["labels_until"])
    return encode_entry(row["user_id"], place, record)


def _label_entry(numbered: tuple[int, dict[str, Any]]) -> bytes:
    number, row = numbered
    record = encode_record(
        LABELS.encode(),
        key=row["merchant_id"].encode(),
        value=orjson.dumps({name: row[name] for name in _LABEL}),
        headers_bytes=_HEADERS,
        timestamp_ms=row["log_timestamp_ms"],
        partition=row["log_partition"],
        offset=row["log_offset"],
    )
    return encode_entry(row["merchant_id"], FoldPlace(0, number, 0), record)
