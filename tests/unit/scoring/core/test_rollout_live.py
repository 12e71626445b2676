"""What a report adds to the counts: a controller that is silent, decisions that have stopped."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.errors import InvalidEventError
from schemas.rollout_state import (
    RolloutSnapshot,
    decode_snapshot,
    encode_snapshot,
)
from scoring.core.rollout_live import notes_of
from tests.builders import NOW_MS
from tests.rollout_readings import READING


def test_a_snapshot_is_read_as_it_was_written() -> None:
    snapshot = RolloutSnapshot(READING, {"decisions": {0: 7, 1: 9}}, {"counts": [1.5, 0.1]})
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot


@pytest.mark.parametrize("value", [None, b"", b"[]", b'{"format": 2}', b'{"format": 1}'])
def test_what_is_no_snapshot_is_refused(value: bytes | None) -> None:
    with pytest.raises(InvalidEventError):
        decode_snapshot(value)


def test_a_report_that_is_fresh_adds_nothing() -> None:
    assert notes_of(READING, is_active=True, now_ms=NOW_MS + 30_000) == list(READING.notes)


def test_a_controller_that_is_silent_is_said_to_be() -> None:
    found = notes_of(READING, is_active=True, now_ms=NOW_MS + 31_000)
    assert found[-1].startswith("The controller has reported nothing for 31 s")


def test_decisions_that_have_stopped_are_said_to_have() -> None:
    stopped = replace(READING, latest_decision_ms=NOW_MS - 360_000)
    found = notes_of(stopped, is_active=True, now_ms=NOW_MS)
    assert found[-1].startswith("No decision of this rollout for 6 minutes (since the newest one)")
    never = replace(READING, latest_decision_ms=None)
    found = notes_of(never, is_active=True, now_ms=NOW_MS)
    assert found[-1].startswith("No decision of this rollout for 60 minutes (since its start)")


def test_a_rollout_that_has_ended_is_not_counted_any_more() -> None:
    assert notes_of(READING, is_active=False, now_ms=NOW_MS + 10**9) == list(READING.notes)
