"""Reads the batch features for a batch of rows: one read for all its users.

Knows the port, not its implementations. Called by `scoring.worker.batch`; the API reads a single
user's batch features together with the user's state.
"""

from __future__ import annotations

from collections.abc import Sequence

from features.online.batch_values import BatchValues, decode_batch_features
from models.model import Model
from schemas.feature_row import FeatureRow
from scoring.core.ports import BatchFeatureReader


async def read_batch_values(
    reader: BatchFeatureReader, rows: Sequence[FeatureRow], *, model: Model
) -> list[BatchValues] | None:
    """Give the batch features of each row's user as of the row's event.

    Blocks: as `BatchFeatureReader.read_users`; not at all for a model that takes none.

    Args:
        reader: called once, with each user once.
        rows: several may be of one user.
        model: the one that will score the rows.

    Returns:
        One for each row, in their order; None if the model takes none, or if they could not be
        read.
    """
    if not rows or not model.batch_columns:
        return None
    user_ids = list(dict.fromkeys(row.transaction.user_id for row in rows))
    stored = await reader.read_users(user_ids)
    if stored is None:
        return None
    decoded = {
        user_id: decode_batch_features(*of_user)
        for user_id, of_user in zip(user_ids, stored, strict=True)
    }
    return [decoded[row.transaction.user_id].as_of(row.transaction.event_time_ms) for row in rows]
