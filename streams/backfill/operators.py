"""Opens a stage of the backfill for a Flink task.

Owns the check that this process computes by the definitions that the backfill is for. Runs inside
the TaskManager: ``streams/jvm/weir/BackfillFold.java`` opens a stage in the thread of its task.
``job.py`` puts the operators into the graph.
"""

from features.definitions import DEFINITION_DIGEST, Entity
from schemas.errors import WeirError
from schemas.settings import Settings
from schemas.transaction import Limits
from streams.backfill.merchant_stage import MerchantBackfill
from streams.backfill.online_states import OnlineStates
from streams.backfill.user_stage import UserBackfill
from streams.velocity.redis_sink import open_sink

_REDIS_S_MAX = 10.0
"""Timeout of Redis, s. It is long, because only the backfill waits for Redis here."""


class OtherDefinitionsRunningError(WeirError):
    """The TaskManager has loaded other definitions than the backfill is for; restart it."""


def open_stage(
    entity: Entity, settings: str, definition_digest: str, seeds_online_state: bool
) -> UserBackfill | MerchantBackfill:
    """Open the stage of an entity; each task calls this once, in its thread.

    Args:
        entity: ``user`` or ``merchant``.
        settings: of the deployment, as JSON.
        definition_digest: digest of the definitions that the backfill is for.
        seeds_online_state: whether to write the last states to Redis.

    Raises:
        OtherDefinitionsRunningError: this process has loaded other definitions.
    """
    if definition_digest != DEFINITION_DIGEST:
        raise OtherDefinitionsRunningError(
            f"the TaskManager has loaded definitions {DEFINITION_DIGEST}, the backfill is for "
            f"{definition_digest}; restart it: `weir down`, `weir up`"
        )
    parsed = Settings.model_validate_json(settings)
    limits = Limits.from_settings(parsed)
    online = (
        OnlineStates(open_sink(entity, parsed, redis_s_max=_REDIS_S_MAX))
        if seeds_online_state
        else None
    )
    if entity == "user":
        return UserBackfill(limits=limits, online=online)
    return MerchantBackfill(limits=limits, online=online)
