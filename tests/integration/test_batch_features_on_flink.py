"""Flink computes the same snapshots as DuckDB, to the last bit, from the same query.

One module: its stack has a JobManager and the TaskManager for batch jobs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from features.batch import ACTIVITY, BATCH_VIEWS, STATISTICS, BatchView
from features.definitions import DAY_MS
from infra.local.flink_client import flink_client
from operations import batch_features
from operations.batch_features import BatchFeaturesFailedError, snapshots_on_flink
from operations.flink_client import FlinkClient, NoFreeSlotsError
from schemas.settings import Settings
from tests.services import Services
from tests.train_command import fails, weir
from training.archive.labels import with_intervals
from training.datasets.materialization import Computed, in_this_process

TODAY = 20_000
IDLE = replace(ACTIVITY, name="idle")
"""A view whose windows have no transaction."""
DAYS = {
    **{view: range(TODAY - 3, TODAY + 1) for view in BATCH_VIEWS},
    IDLE: [TODAY + 40, TODAY + 50],
}
USERS = (
    "u",
    " ",
    "é",
    "\U0001d6fc",
    '"quoted"',
    "comma, or\nline",
    "back\\slash",
    "#1",
    "NULL",
    "\ufeff",
)
"""Ids with all that has a meaning in CSV."""


@dataclass(frozen=True)
class Flink:
    settings: Settings
    client: FlinkClient

    def compute(
        self,
        transactions: pa.Table,
        observations: pd.DataFrame,
        missing: Mapping[BatchView, Sequence[int]],
    ) -> list[Computed]:
        return list(
            snapshots_on_flink(self.settings, self.client, transactions, observations, missing)
        )


@pytest.fixture(scope="module")
def flink(local_services: Services) -> Iterator[Flink]:
    stack = local_services.stack
    assert stack is not None
    stack.up(programs=["jobmanager", "batch"])
    yield Flink(stack.settings, flink_client(stack, log="batch-features"))
    for program in ("batch", "jobmanager"):
        stack.stop(program)


def world(seed: int) -> tuple[pa.Table, pd.DataFrame]:
    """Transactions on, before and after the edges of both windows, and contradicting reports."""
    rng = random.Random(seed)
    edges = [
        (TODAY + day) * DAY_MS - window_ms + near
        for day in (-3, 0)
        for window_ms in (0, ACTIVITY.window_ms, STATISTICS.window_ms)
        for near in (-1, 0, 1)
    ]
    first_ms = (TODAY - 100) * DAY_MS
    times = edges * len(USERS) + [rng.randrange(first_ms, TODAY * DAY_MS) for _ in range(3_000)]
    rows = [(f"t{n}", USERS[n % len(USERS)], at_ms) for n, at_ms in enumerate(times)]
    transactions = pa.table(
        {
            "transaction_id": [row[0] for row in rows],
            "user_id": [row[1] for row in rows],
            "amount_minor": [rng.choice((1, 7, 10**12, rng.randrange(10**6))) for _ in rows],
            "event_time_ms": pa.array([row[2] for row in rows], pa.int64()),
        }
    )
    reports = [
        (transaction_id, at_ms + rng.randrange(40) * DAY_MS // 3, rng.random() < 0.7)
        for transaction_id, _, at_ms in rng.choices(rows, k=1_500)
    ]
    names = ["transaction_id", "observed_time_ms", "is_fraud"]
    return transactions, with_intervals(pd.DataFrame(reports, columns=names))


def test_flink_gives_what_duckdb_gives_to_the_last_bit(
    flink: Flink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_features, "ROWS_A_FILE", 1_000)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    transactions, observations = world(seed)
    on_flink = flink.compute(transactions, observations, DAYS)
    here = list(in_this_process(transactions, observations, DAYS))
    assert [each[:2] for each in on_flink] == [each[:2] for each in here]
    for ours, theirs in zip(on_flink, here, strict=True):
        assert ours.rows.equals(theirs.rows)
    rows = {each.view.name: each.rows for each in on_flink}
    assert rows[IDLE.name].num_rows == 0
    assert rows[ACTIVITY.name].num_rows == len(USERS) * len(DAYS[ACTIVITY])
    assert len(set(rows[STATISTICS.name]["user_fraud_count_90d_batch"].to_pylist())) > 3


def test_a_job_that_fails_says_so_and_leaves_no_files(flink: Flink) -> None:
    broken = replace(flink, client=replace(flink.client, python=Path("/bin/false")))
    with pytest.raises(BatchFeaturesFailedError, match="no snapshot was stored"):
        broken.compute(*world(1), DAYS)
    assert not list((flink.settings.data_dir / "flink").glob("batch-features-*"))


def test_without_flink_the_error_says_what_to_start(flink: Flink) -> None:
    settings = flink.settings.model_copy(update={"flink_rest_url": "http://127.0.0.1:9"})
    with pytest.raises(NoFreeSlotsError, match="weir up"):
        replace(flink, settings=settings).compute(*world(1), DAYS)


def test_the_command_brings_the_archive_up_to_date_first(flink: Flink, tmp_path: Path) -> None:
    settings = flink.settings.model_copy(update={"archive_url": str(tmp_path / "none")})
    fails(weir(settings, "materialize", "--flink"), "there is no archive table at", "none/labels")
