"""Runs the backfill's folds on the Flink cluster of a stack: files in, a process, files out.

Bridges the rooms: tables of `training.archive.backfilled` become the frames that
`streams.backfill_job` folds, and its rows become bytes again. Called by `backfill`.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa

from features.definitions import DEFINITION_DIGEST
from infra.local.programs import CLIENT_OPTIONS, flink_environment, shipped_java_options
from infra.local.stack import Stack
from schemas.errors import WeirError
from schemas.topics import LABELS, REPLAY_HEADER, TRANSACTIONS
from streams.backfill_frames import FoldPlace, encode_entry
from streams.backfill_plan import BackfillPlan
from streams.record_frame import encode_headers, encode_record

_ROWS_AT_ONCE: Final = 10_000
_ERROR_LINES_SHOWN: Final = 5
# The clock has judged these records when they came in.
_HEADERS: Final = encode_headers([REPLAY_HEADER])
_TRANSACTION: Final = (
    *("transaction_id", "user_id", "merchant_id", "amount_minor", "currency", "event_time_ms"),
    *("device_type", "ip_country"),
)
_LABEL: Final = ("transaction_id", "merchant_id", "event_time_ms", "observed_time_ms", "is_fraud")


class BackfillFailedError(WeirError):
    """The Flink job of a backfill has failed. Nothing was written to the archive."""


def fold(
    stack: Stack, *, folded: pa.Table, labels: pa.Table, scratch: Path, savepoint: Path | None
) -> Iterator[bytes]:
    """Fold transactions and labels on the stack's Flink; give the feature rows, encoded.

    Blocks: as long as the folds take.
    On failure: the savepoint may be there in part; nothing points to it.

    Args:
        stack: whose cluster is used.
        folded: as `training.archive.backfilled.folded_rows` gives it.
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
    _run(stack, scratch)
    for path in sorted(Path(plan.rows).rglob("part-*")):
        with path.open("rb") as lines:
            yield from lines


def _run(stack: Stack, scratch: Path) -> None:
    java = (shipped_java_options(stack.layout), f"-Djava.io.tmpdir={scratch}", *CLIENT_OPTIONS)
    environment = {
        **stack.environment(),
        **flink_environment(stack.layout),
        "TMPDIR": str(scratch),
        "FLINK_ENV_JAVA_OPTS": " ".join(java),
    }
    log = scratch / "client.log"
    with log.open("wb") as output:
        done = subprocess.run(
            [
                *(str(stack.layout.streams_python), "-m", "streams.backfill_job"),
                str(scratch / "plan.json"),
            ],
            check=False,
            cwd=stack.layout.repo,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    if done.returncode != 0:
        kept = stack.layout.log("backfill")
        kept.parent.mkdir(parents=True, exist_ok=True)
        log.replace(kept)
        raise BackfillFailedError(
            f"the backfill's Flink job failed; nothing was written to the archive. {_causes(kept)} "
            f"(all of it: {kept})"
        )


def _causes(log: Path) -> str:
    """What Java and Python say of the causes, without the places in the code."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    causes = [line.strip() for line in lines if "Caused by:" in line or "Error:" in line]
    return " | ".join(dict.fromkeys(causes[-_ERROR_LINES_SHOWN:])) or "It says no cause"


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
