"""Opens a stage of the backfill for a Flink task.

Runs inside the TaskManager: ``streams/jvm/weir/BackfillFold.java`` opens a stage in the thread of
its task. ``job.py`` puts the operators into the graph.
"""

from dataclasses import replace

from features.engine.job import KeptStates
from features.engine.plan import ENTITIES
from schemas.settings import JSON_INTEGER_MAX, Settings
from schemas.transaction import Limits
from streams.backfill.merchant_stage import MerchantBackfill
from streams.backfill.user_stage import UserBackfill
from streams.velocity.engine import Engine
from streams.velocity.online_writer import BATCH_KEYS_MAX, open_writer
from streams.velocity.operators import check_digest, open_entities

_REDIS_S_MAX = 10.0
"""Timeout of Redis, s. It is long, because only the backfill waits for Redis here."""
_CHANGED_KEYS_MAX = 2 * BATCH_KEYS_MAX
"""Changed keys that the engine keeps; the stage writes them when there are half as many."""


def open_stage(
    settings: str, definition_digest: str, entity: int, seeds_online_state: bool
) -> UserBackfill | MerchantBackfill:
    """Open the stage of an entity; each task calls this once, in its thread.

    Args:
        settings: of the deployment, as JSON.
        definition_digest: digest of the definitions that the backfill is for.
        entity: position of the entity.
        seeds_online_state: whether to write the last states to Redis.

    Raises:
        OtherDefinitionsRunningError: this process has loaded other definitions.
        EngineVersionError: this process has loaded another version of the engine.
    """
    check_digest(definition_digest)
    parsed = Settings.model_validate_json(settings)
    # The velocity job has compared the records with clock and timestamp; these have passed.
    limits = replace(Limits.from_settings(parsed), replay_ahead_ms_max=JSON_INTEGER_MAX)
    job = open_entities(
        limits,
        parsed,
        entity,
        entity + 1,
        changed_keys_max=_CHANGED_KEYS_MAX,
        kept=KeptStates(live_keys_max=1),
    )
    writer = (
        open_writer(job, entity, parsed, keys_max=_CHANGED_KEYS_MAX, redis_s_max=_REDIS_S_MAX)
        if seeds_online_state
        else None
    )
    stage_type = MerchantBackfill if ENTITIES[entity].has_labels else UserBackfill
    return stage_type(Engine(job, limits=limits), entity, writer)
