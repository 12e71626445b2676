"""Since when backfilled features are complete."""

from __future__ import annotations

from pathlib import Path

from features.definitions import DEFINITION_DIGEST
from tests.backfill_archives import archive, recomputed, row
from tests.builders import LIMITS, NOW_MS
from training.archive.backfill_input import folded_rows
from training.archive.backfill_status import backfill_status
from training.archive.backfilled import backfilled_rows
from training.archive.store import ArchiveTable
from training.archive.tables import BACKFILLED


def test_the_status_says_since_when_features_are_complete(tmp_path: Path) -> None:
    url = archive(tmp_path, [row(0)])
    assert backfill_status(url) is None
    folded = folded_rows(url, until=None)
    rows = backfilled_rows(recomputed(0), folded, limits=LIMITS)
    ArchiveTable(url, BACKFILLED).replace(rows, metadata={})
    status = backfill_status(url)
    assert status is not None
    assert (status.rows, status.definition_digest) == (1, DEFINITION_DIGEST)
    assert status.complete_since_ms["user_amount_sum_1h"] == NOW_MS + 3_600_000
