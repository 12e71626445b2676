"""Reads the batch features for a batch of rows: one read for all its users.

Knows the port, not its implementations. Called by `scoring.worker.batch`; the API reads a single
user's batch features together with the user's state.
"""

from __future__ import annotations

from collections.abc import Sequence

from features.online.batch_values import BatchValues, decode_batch_features
from models.model import Model
from scoring.core.ports import BatchFeatureReader


async def read_batch_values(
    reader: BatchFeatureReader, events: Sequence[tuple[str, int]], *, model: Model
) -> list[BatchValues] | None:
    """Give the batch features of each event's user as of the event.

    Blocks: as `BatchFeatureReader.read_users`; not at all for a model that takes none.

    Args:
        reader: called once, with each user once.
        events: user id and event time, ms since 1970 UTC; several may be of one user.
        model: the one that will score their rows.

    Returns:
        One for each event, in their order; None if the model takes none, or if they could not be
        read.
    """
    if not events or not model.batch_columns:
        return None
    user_ids = list(dict.fromkeys(user_id for user_id, _ in events))
    stored = await reader.read_users(user_ids)
    if stored is None:
        return None
    decoded = {
        user_id: decode_batch_features(*of_user)
        for user_id, of_user in zip(user_ids, stored, strict=True)
    }
    return [decoded[user_id].as_of(event_time_ms) for user_id, event_time_ms in events]
