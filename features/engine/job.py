"""Opens the native engine for an operator of a job, by the definitions of this process.

Owns which version of the engine fits this code. The engine decodes records, folds them into states
and encodes feature rows, a batch at a time; ``native/src/job.rs`` describes it. Called by the
velocity job and the backfill.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import weir_engine
from weir_engine import Job

from features.engine.plan import plan_json
from features.engine.wire import wire_json
from schemas.errors import WeirError
from schemas.transaction import Limits

__all__ = ["ENGINE_VERSION", "EngineVersionError", "Job", "open_job"]

ENGINE_VERSION: Final = "0.1.0"
"""The version in native/Cargo.toml. Change both when plan, wire or a format changes."""


class EngineVersionError(WeirError):
    """The installed engine has another version than this code needs."""


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
    if weir_engine.__version__ != ENGINE_VERSION:
        raise EngineVersionError(
            f"the installed engine weir_engine has version {weir_engine.__version__}, this code "
            f"needs {ENGINE_VERSION}; run `make setup`, then restart the stack with `weir down` "
            "and `weir up`"
        )
    return Job(
        plan_json(),
        wire_json(limits),
        first=first,
        end=end,
        live_keys_max=live_keys_max,
        changed_keys_max=changed_keys_max,
        layouts=layouts,
    )
