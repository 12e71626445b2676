"""What `weir backfill` refuses, when it has nothing to do, and that doing it again is harmless."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from features.definitions import DEFINITION_DIGEST
from infra.local.flink_client import flink_client
from infra.local.ports import free_ports
from infra.local.stack import Stack
from operations.backfill import run as backfill
from operations.backfill import velocity_job
from operations.backfill.report import BackfillReport
from operations.backfill.run import run_backfill
from operations.backfill.velocity_job import FlinkUnreachableError, VelocityJobRunningError
from schemas.settings import Settings
from schemas.topics import LABELS, TRANSACTIONS
from streams.velocity.cluster import Start, check_state, choose_start, stored_digest
from tests.backfill_archives import archive, recomputed, row
from training.archive.feature_rows import archived_feature_rows
from training.errors import NoArchiveError, NoFeatureRowsError

OFFSETS = {TRANSACTIONS: {0: 2}, LABELS: {0: 0}}


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack of which nothing runs; the archive is as full as it gets."""
    monkeypatch.setattr(backfill, "fill_archive", lambda _: None)
    monkeypatch.setattr(backfill, "committed_offsets", lambda _: OFFSETS)
    (rest,) = free_ports(1)
    return Stack(Settings(data_dir=tmp_path, flink_rest_port=rest))


@pytest.fixture
def folds(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stands for Kafka and Flink; collects where the states of each run were to go."""
    savepoints: list[Any] = []

    def fold(_: Stack, *, folded: Any, savepoint: Any, **__: Any) -> Iterator[bytes]:
        savepoints.append(savepoint)
        yield from recomputed(*folded["origin_offset"].to_pylist())

    monkeypatch.setattr(backfill, "fold", fold)
    monkeypatch.setattr(velocity_job, "job_state", lambda _: None)
    return savepoints


def run_on(stack: Stack) -> BackfillReport:
    return run_backfill(stack.settings, flink_client(stack, log="backfill"), say=lambda _: None)


def archived(stack: Stack, *rows: Any) -> None:
    archive(Path(stack.settings.archive_url), list(rows))


def test_without_an_archive_or_without_rows_it_says_so(stack: Stack) -> None:
    with pytest.raises(NoArchiveError, match="weir archive rebuild"):
        run_on(stack)
    archived(stack)
    with pytest.raises(NoFeatureRowsError, match="weir archive status"):
        run_on(stack)


def test_without_flink_or_beside_the_velocity_job_it_does_not_begin(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    archived(stack, row(0))
    with pytest.raises(FlinkUnreachableError, match="weir up"):
        run_on(stack)
    monkeypatch.setattr(velocity_job, "job_state", lambda _: "RUNNING")
    with pytest.raises(VelocityJobRunningError, match="weir down"):
        run_on(stack)


def test_where_all_rows_are_of_the_present_definitions_there_is_nothing_to_do(
    stack: Stack,
) -> None:
    archived(stack, row(0, digest=DEFINITION_DIGEST))
    check_state(stack.settings)
    report = run_on(stack)
    assert (report.rows, report.folded, report.is_seeded) == (0, 0, False)


def test_rows_up_to_the_old_checkpoint_are_made_and_the_job_goes_on_from_there(
    stack: Stack, folds: list[Any]
) -> None:
    archived(stack, row(0), row(1), row(2))
    report = run_on(stack)
    assert (report.rows, report.folded, report.is_seeded) == (2, 2, True)
    assert report.next_offsets == OFFSETS
    (savepoint,) = folds
    assert choose_start(stack.settings) == Start(savepoint.as_uri(), OFFSETS)
    assert run_on(stack).folded == 0


def test_killed_before_the_state_is_noted_it_does_all_of_it_again_and_the_rows_are_the_same(
    stack: Stack, folds: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    archived(stack, row(0), row(1))

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(backfill, "install_seed", killed)
        with pytest.raises(KeyboardInterrupt):
            run_on(stack)
    assert stored_digest(stack.settings) is None
    url = stack.settings.archive_url
    first = archived_feature_rows(url)
    assert run_on(stack).rows == 2
    assert archived_feature_rows(url).equals(first)
    assert stored_digest(stack.settings) == DEFINITION_DIGEST


def test_where_the_job_has_state_of_its_own_only_the_rows_are_made(
    stack: Stack, folds: list[Any]
) -> None:
    archived(stack, row(0), row(1), row(2, digest=DEFINITION_DIGEST))
    check_state(stack.settings)
    report = run_on(stack)
    assert (report.rows, report.folded, report.is_seeded) == (2, 3, False)
    assert folds == [None]
    assert choose_start(stack.settings) == Start()
