"""Rollouts for tests: started as a person starts them, and changed one step at a time."""

from __future__ import annotations

from itertools import count
from typing import Any

from schemas.rollout import Rollout, RolloutChange, Strategy
from scoring.core.rollout_changes import Author, Start, changed, started

NOW_MS = 1_795_478_400_000
_numbers = count(1)


def author(*, name: str = "ana", reason: str = "a test", now_ms: int = NOW_MS) -> Author:
    return Author(name=name, reason=reason, now_ms=now_ms, change_id=f"change-{next(_numbers)}")


def start(
    rollout_id: str = "r-1",
    *,
    strategy: Strategy = "ab",
    model_name: str = "weir-fraud",
    control: str = "1",
    challengers: dict[str, str] | None = None,
    **more: Any,
) -> RolloutChange:
    """A first change; control version 1 and challenger version 2, unless said otherwise."""
    name = "green" if strategy == "blue_green" else "challenger"
    asked = Start(
        rollout_id=rollout_id,
        strategy=strategy,
        challengers=challengers or {name: "2"},
        **more,
    )
    return started(asked, author(), model_name=model_name, control=control)


def rollout(**more: Any) -> Rollout:
    return start(**more).rollout


def step(present: Rollout, **more: Any) -> RolloutChange:
    return changed(present, author(), **more)
