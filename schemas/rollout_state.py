"""What the controller has counted of a rollout: the records of the topic ``rollout-state``.

Each record is one snapshot: what people read (`RolloutReading`), and what the controller needs to
go on, that is its next offsets and its state, which belong together. ``operations`` writes it,
`weir rollout status` and the API read the reading. Bytes in and out are here as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from schemas.errors import shown
from schemas.field_readers import read_typed, refuse
from schemas.rollout_codec import read_record

FORMAT: Final = 1
"""Number of the format of the state; a controller of another one counts again from the log."""

Positions = Mapping[str, Mapping[int, int]]
"""The next offset to read, by what is read and partition."""


@dataclass(frozen=True, slots=True)
class ArmReading:
    """What was counted of one arm.

    Attributes:
        name: of the arm.
        decisions: all, without repeats.
        errors: those that another model made in its place.
        outcomes: number of decisions by outcome, as the arm decided them.
        mean_score: 0 without decisions.
        mature_decisions: those whose labels are mature.
        mean_loss: of those; None without any.
    """

    name: str
    decisions: int
    errors: int
    outcomes: dict[str, int]
    mean_score: float
    mature_decisions: int
    mean_loss: float | None


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a rollout.

    Attributes:
        name: what it is, stable for programs.
        value: the number; None while it is not known.
        text: a sentence with the number and what it means.
    """

    name: str
    value: float | None
    text: str


@dataclass(frozen=True, slots=True)
class RolloutReading:
    """What was counted and judged of a rollout.

    Attributes:
        rollout_id: the rollout.
        revision: the revision that was judged.
        counted_at_ms: when, ms since 1970 UTC.
        started_at_ms: start of the rollout, ms since 1970 UTC.
        latest_decision_ms: clock of its newest decision, ms since 1970 UTC; None before the first.
        latest_label_ms: when the newest label of any transaction came; None before the first.
        verdict: what the controller does now and why, a sentence.
        recommendation: of an A/B test: promote, keep or go_on; None for other strategies.
        arms: in the order of the rollout.
        figures: the numbers behind the verdict.
        notes: what a person should know besides, sentences.
    """

    rollout_id: str
    revision: int
    counted_at_ms: int
    started_at_ms: int
    latest_decision_ms: int | None
    latest_label_ms: int | None
    verdict: str
    recommendation: str | None
    arms: tuple[ArmReading, ...]
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RolloutSnapshot:
    """Everything of one record.

    Attributes:
        reading: for people.
        positions: where the controller goes on; the state has counted everything before.
        state: of ``operations.rollouts``, as JSON has it.
    """

    reading: RolloutReading
    positions: Positions
    state: Mapping[str, Any]


def encode_snapshot(snapshot: RolloutSnapshot) -> bytes:
    """Write a snapshot as JSON."""
    return orjson.dumps(
        {
            "format": FORMAT,
            "reading": snapshot.reading,
            "positions": snapshot.positions,
            "state": snapshot.state,
        },
        option=orjson.OPT_NON_STR_KEYS,
    )


def decode_snapshot(value: bytes | None) -> RolloutSnapshot:
    """Read a snapshot.

    Raises:
        InvalidEventError: it is something else, or of another format.
    """
    if value is None:
        refuse(None, "is null: a tombstone is not a snapshot")
    try:
        obj = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        refuse(None, f"is not JSON: {error}")
    if type(obj) is not dict or obj.get("format") != FORMAT:
        refuse("format", f"must be {FORMAT}, in {shown(obj)}")
    positions = read_typed(obj, "positions", dict)
    return RolloutSnapshot(
        read_record(RolloutReading, read_typed(obj, "reading", dict)),
        {name: _offsets(positions, name) for name in positions},
        read_typed(obj, "state", dict),
    )


def _offsets(positions: Mapping[str, Any], name: str) -> dict[int, int]:
    found = read_typed(positions, name, dict)
    return {int(partition): read_typed(found, partition, int) for partition in found}
