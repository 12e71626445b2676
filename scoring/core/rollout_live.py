"""What the controller has counted of a rollout, as `weir rollout status` and the API tell it.

Pure. `schemas.rollout_state` says what is counted; this adds what only a reader can see: that
nothing is counted any more.
"""

from __future__ import annotations

from typing import Final

from schemas.rollout_state import RolloutReading

SILENT_CONTROLLER_MS: Final = 30_000
"""The controller writes at least every 10 s while a rollout is active."""
SILENT_DECISIONS_MS: Final = 300_000
"""Time without any decision of an active rollout after which a report mentions it, ms."""

RECOMMENDATIONS: Final = {
    "promote": "promote the challenger",
    "keep": "keep the control",
    "go_on": "go on; it is too early to choose",
}


def notes_of(reading: RolloutReading, *, is_active: bool, now_ms: int) -> list[str]:
    """Give what a person should know besides the numbers, sentences.

    Args:
        reading: what was counted.
        is_active: whether the rollout is; one that has ended is not counted any more.
        now_ms: clock, ms since 1970 UTC.
    """
    notes = list(reading.notes)
    if not is_active:
        return notes
    silent_ms = now_ms - reading.counted_at_ms
    if silent_ms > SILENT_CONTROLLER_MS:
        notes.append(
            f"The controller has reported nothing for {silent_ms // 1_000} s, so these numbers are "
            "old and nothing is rolled back by itself; `weir status` shows whether it runs."
        )
        return notes
    latest_ms = reading.latest_decision_ms
    without_ms = now_ms - (reading.started_at_ms if latest_ms is None else latest_ms)
    if without_ms > SILENT_DECISIONS_MS:
        since = "since its start" if latest_ms is None else "since the newest one"
        notes.append(
            f"No decision of this rollout for {without_ms // 60_000} minutes ({since}): either no "
            "transactions come, or the scorer does not follow the rollout; `weir status`."
        )
    return notes
