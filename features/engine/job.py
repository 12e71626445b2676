"""Opens the native engine for an operator of a job, by the definitions of this process.

The engine decodes records, folds them into states and encodes feature rows, a batch at a time;
``native/src/job.rs`` describes it. Called by the velocity job and the backfill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from weir_engine import Job

from features.engine.plan import plan_json
from features.engine.version import check_engine_version
from features.engine.wire import wire_json
from schemas.transaction import Limits

__all__ = ["UNLIMITED", "Job", "KeptStates", "open_job"]

UNLIMITED: Final = 2**63 - 1


@dataclass(frozen=True)
class KeptStates:
    """Which states of an operator stay in memory: those that were used last.

    Those used before them are packed, which takes a fraction of the memory. Further ones are read
    from their journals when they are needed.

    Attributes:
        live_keys_max: how many states of each entity are live.
        live_bytes_max: memory of the live states of all entities, bytes.
        packed_bytes_max: memory of the packed states of all entities, bytes; 0 packs none.
    """

    live_keys_max: int = UNLIMITED
    live_bytes_max: int = UNLIMITED
    packed_bytes_max: int = 0


def open_job(
    limits: Limits,
    *,
    first: int,
    end: int,
    changed_keys_max: int,
    layouts: Sequence[str | None],
    kept: KeptStates,
) -> Job:
    """Open the engine for the entities from ``first`` up to, not including, ``end``.

    Args:
        limits: what this deployment accepts.
        first: position of the first entity in ``features.engine.plan.ENTITIES``.
        end: position after the last entity; equal to ``first`` for an operator that only decodes.
        changed_keys_max: how many changed keys of each entity wait for the online store.
        layouts: for each of the entities its place in the online store, as
            ``features.online.layout.layout_json`` gives it; None for an entity that is not written.
        kept: which states stay in memory.

    Raises:
        EngineVersionError: the installed engine has another version.
    """
    check_engine_version()
    return Job(
        plan_json(),
        wire_json(limits),
        first=first,
        end=end,
        live_keys_max=kept.live_keys_max,
        live_bytes_max=kept.live_bytes_max,
        packed_bytes_max=kept.packed_bytes_max,
        changed_keys_max=changed_keys_max,
        layouts=layouts,
    )
