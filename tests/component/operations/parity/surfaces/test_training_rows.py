"""Rows of training and of the archive that are not what the recomputation gives."""

from dataclasses import replace

import pytest

from clients.log_record import Record
from features.definitions import FEATURE_NAMES
from operations.parity.report import SurfaceReport
from operations.parity.surfaces.training_rows import compare_training_rows
from schemas.output_codec import encode_feature_row
from tests.parity_world import System, true_system
from training.datasets.read_log import feature_table

BROKEN = "merchant_transaction_count_7d_delay_7d"


@pytest.fixture(scope="module")
def system() -> System:
    return true_system()


def test_true_rows_have_no_difference(system: System) -> None:
    wanted = len(system.rows) * (len(FEATURE_NAMES) + 1)
    assert system.compare_rows(system.rows) == SurfaceReport(checked=wanted)


def test_a_broken_value_is_found_in_every_row(system: System) -> None:
    rows = [
        replace(row, features={**row.features, BROKEN: (row.features[BROKEN] or 0) + 1})
        for row in system.rows
    ]
    report = system.compare_rows(rows)
    assert report.mismatched == len(rows)
    assert {each.feature for each in report.differences} == {BROKEN}
    assert len(report.differences) == 10


def test_missing_and_extra_rows_are_counted(system: System) -> None:
    report = system.compare_rows(system.rows[1:])
    assert (report.missing, report.extra, report.mismatched) == (1, 0, 0)
    first = system.rows[0]
    stranger = replace(first, transaction=replace(first.transaction, transaction_id="odd"))
    newer = replace(first, transaction=replace(first.transaction, transaction_id="new"))
    report = system.compare_rows([stranger, *system.rows, newer])
    # The last one lies where the recomputation had not read yet; so does the last true row.
    assert (report.missing, report.extra, report.newer) == (0, 1, 1)


def test_a_row_that_the_copy_has_not_reached_is_newer_and_one_that_it_lost_is_missing(
    system: System,
) -> None:
    kept = system.rows[:-3]
    table = feature_table(
        Record(0, at, -1, encode_feature_row(row)) for at, row in enumerate(kept) if at != 7
    )
    report = compare_training_rows(table, system.recomputed, ends=system.ends, held={0: len(kept)})
    assert (report.missing, report.newer, report.extra, report.mismatched) == (1, 3, 0, 0)
