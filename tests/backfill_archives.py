"""Archives with feature rows of old definitions, and what a backfill makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from features.definitions import DEFINITION_DIGEST
from schemas.feature_row import FeatureRow, Origin
from schemas.output_codec import encode_feature_row
from schemas.topics import FEATURES, LABELS
from tests.archives import append_values
from tests.builders import NOW_MS, transaction
from tests.scoring_fakes import feature_row

OLD_DIGEST = "of-last-year"


def row(number: int, *, count: int = 0, digest: str = OLD_DIGEST, **changes: Any) -> FeatureRow:
    """Give the row of the transaction at offset ``number``."""
    whole = feature_row(f"t-{number}", features={"user_transaction_count_5m": count})
    return replace(
        whole,
        **{
            "transaction": transaction(transaction_id=f"t-{number}", event_time_ms=NOW_MS),
            "definition_digest": digest,
            "origin": Origin(0, number, NOW_MS - 5),
            "user_sequence": number + 1,
            "merchant_sequence": number + 1,
            "computed_at_ms": NOW_MS + number,
            **changes,
        },
    )


def archive(url: Path, rows: Sequence[FeatureRow]) -> str:
    """Make an archive of these rows, without labels."""
    append_values(str(url), FEATURES, [encode_feature_row(one) for one in rows])
    append_values(str(url), LABELS, [])
    return str(url)


def recomputed(*numbers: int, count: int = 9) -> list[bytes]:
    """Give the rows of these transactions as Flink computes them, in another order."""
    given = [
        encode_feature_row(row(at, count=count, digest=DEFINITION_DIGEST, computed_at_ms=0))
        for at in numbers
    ]
    return list(reversed(given))
