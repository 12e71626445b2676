"""A version of the archive hides what was archived later."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from clients.log_record import Record
from schemas.topics import FEATURES, LABELS
from tests.archives import append_values
from tests.builders import LIMITS, NOW_MS
from tests.component.training.archive.test_feature_rows import row, rows
from tests.component.training.archive.test_labels import label
from training.archive.columns import to_batches
from training.archive.feature_rows import archived_feature_rows
from training.archive.labels import archived_labels
from training.archive.version import ArchiveVersion, archive_version


def test_a_version_names_every_partition_that_has_rows(tmp_path: Path) -> None:
    url = str(tmp_path)
    append_values(url, LABELS, [label("t-1", observed_ms=NOW_MS)])
    table = append_values(url, FEATURES, rows(row("t-1")))
    record = Record(4, 0, NOW_MS, *rows(row("t-2")))
    table.append(to_batches(FEATURES, [record], limits=LIMITS), next_offsets={4: 1})
    version = archive_version(url)
    assert version == ArchiveVersion({FEATURES: {0: 1, 4: 1}, LABELS: {0: 1}})
    assert len(archived_feature_rows(url, version=version)) == 2


def test_a_version_hides_what_was_archived_later(tmp_path: Path) -> None:
    url = str(tmp_path)
    append_values(url, FEATURES, rows(row("t-1")))
    append_values(url, LABELS, [label("t-1", observed_ms=NOW_MS)])
    before = archive_version(url)
    first = archived_feature_rows(url)
    append_values(url, FEATURES, rows(row("t-2"), row("t-3")), start=1)
    append_values(url, LABELS, [label("t-2", observed_ms=NOW_MS + 9)], start=1)
    assert archive_version(url) != before
    assert before == ArchiveVersion({FEATURES: {0: 1}, LABELS: {0: 1}})
    pd.testing.assert_frame_equal(archived_feature_rows(url, version=before), first)
    assert len(archived_labels(url, version=before)) == 1
