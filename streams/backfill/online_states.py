"""Writes the states of a backfill to Redis, in batches, as the velocity job would.

Knows `OnlineSink`, whose thread is not started here: the backfill waits for each write. Called by
the stages of the backfill.
"""

from features.engine.state import MerchantState, UserState
from streams.velocity.redis_sink import OnlineSink

_BATCH_KEYS_MAX = 256


class OnlineStates:
    """Collects states and writes a batch of keys at once.

    **Delivery:** every state is written once ``flush`` has returned. Writes are guarded by sequence
    numbers, so repeating them is harmless. **Blocks:** for Redis. **On failure:** raises
    ``redis.RedisError``, and the job fails.
    """

    def __init__(self, sink: OnlineSink) -> None:
        self._sink = sink
        self._batch: dict[str, UserState | MerchantState] = {}

    def add(self, key: str, state: UserState | MerchantState) -> None:
        """Add the last state of a key; writes the batch when it is full."""
        self._batch[key] = state
        if len(self._batch) >= _BATCH_KEYS_MAX:
            self.flush()

    def flush(self) -> None:
        """Write the states that were added since the last batch."""
        if self._batch:
            self._sink.write_now(self._batch)
            self._batch = {}
