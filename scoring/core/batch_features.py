"""The batch features of a batch of rows: one read for its users, one judgement for each event.

Knows the port, not who implements it. Called by `batch`; the API reads a single user's together
with the rest of what it needs.
"""

from __future__ import annotations

from collections.abc import Sequence

from features.online.batch_values import BatchValues, open_habits
from models.model import Model
from schemas.feature_row import FeatureRow
from scoring.core.ports import BatchFeatureReader


async def read_batch_values(
    reader: BatchFeatureReader, rows: Sequence[FeatureRow], *, model: Model
) -> list[BatchValues] | None:
    """Give the batch features of each row's user as of the row's event.

    Blocks: as `BatchFeatureReader.read_users`; not at all for a model that takes none.

    Args:
        reader: asked once, for each user once.
        rows: any; several may be of one user.
        model: the one that will score them.

    Returns:
        As many as rows, in their order; None if the model takes none, or they could not be read.
    """
    if not rows or not model.batch_columns:
        return None
    user_ids = list(dict.fromkeys(row.transaction.user_id for row in rows))
    stored = await reader.read_users(user_ids)
    if stored is None:
        return None
    habits = {
        user_id: open_habits(*of_user) for user_id, of_user in zip(user_ids, stored, strict=True)
    }
    return [habits[row.transaction.user_id].as_of(row.transaction.event_time_ms) for row in rows]
