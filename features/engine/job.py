"""Opens the native engine for an operator of a job, by the definitions of this process.

The engine decodes records, folds them into states and encodes feature rows, a batch at a time;
``native/src/job.rs`` describes it. Called by the velocity job and the backfill.
"""

from __future__ import annotations

from collections.abc import Sequence

from weir_engine import Job

from features.engine.plan import plan_json
from features.engine.version import check_engine_version
from features.engine.wire import wire_json
from schemas.transaction import Limits

__all__ = ["Job", "open_job"]


def open_job(
    limits: Limits,
    *,
    first: int,
    end: int,
    live_keys_max: int,
    changed_keys_max: int,
    layouts: Sequence[str | None],
) -> Job:
    """Open the engine for the entities from ``first`` up to, not including, ``end``.

    Args:
        limits: what this deployment accepts.
        first: position of the first entity in ``features.engine.plan.ENTITIES``.
        end: position after the last entity; equal to ``first`` for an operator that only decodes.
        live_keys_max: how many states of each entity are kept in memory.
        changed_keys_max: how many changed keys of each entity wait for the online store.
        layouts: for each of the entities its place in the online store, as
            ``features.online.layout.layout_json`` gives it; None for an entity that is not written.

    Raises:
        EngineVersionError: the installed engine has another version.
    """
    check_engine_version()
    return Job(
        plan_json(),
        wire_json(limits),
        first=first,
        end=end,
        live_keys_max=live_keys_max,
        changed_keys_max=changed_keys_max,
        layouts=layouts,
    )
