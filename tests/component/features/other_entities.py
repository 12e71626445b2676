"""Plans of entities that Weir does not have, and their features by brute force.

A parcel service: each parcel has a depot, a van and a recipient. Names, windows, delays, aggregates
and their order are drawn. The brute force goes through all events of a key for each value.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from tests.unit.features.engine.brute_force import D, H, M

LATENESSES_MS = [H, D]
KEYS = ("depot", "van", "recipient")
WINDOWS_MS = [64, 1_000, 5 * M, 90 * M, D, 3 * D, 30 * D]
LIMITS = {
    "identity_ms": 400 * D,
    "label_wait_ms": 400 * D,
    "tiles_per_window": 64,
    "events_max": 10_000,
    "ids_max": 10_000,
    "distinct_max": 10_000,
    "visits_max": 10_000,
    "labelled_max": 10_000,
    "observations_max": 100,
}
DIGEST = "00112233aabbccdd"
NOW_MS = 1_750_000_000_000
Number = int | float | None


class Parcel(NamedTuple):
    """One event."""

    code: str
    depot: str
    van: str
    recipient: str
    grams: int
    at_ms: int
    fragile: bool
    floor: int | None

    def said(self) -> dict[str, object]:
        """Its fields, without one that is missing."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Complaint(NamedTuple):
    """One label."""

    code: str
    key: str
    at_ms: int
    observed_ms: int
    is_lost: bool


class Feature(NamedTuple):
    """One feature of an entity."""

    name: str
    aggregate: Literal["count", "sum", "mean", "distinct", "rate"]
    window_ms: int
    delay_ms: int


@dataclass
class EntityPlan:
    """One entity: the field of its key, what is counted, and its features."""

    key: str
    has_identity: bool
    has_labels: bool
    distinct: str | None
    features: list[Feature]

    def as_json(self, kind: str) -> dict[str, Any]:
        return {
            "kind": kind,
            "has_identity": self.has_identity,
            "has_sums": any(feature.aggregate in ("sum", "mean") for feature in self.features),
            "has_labels": self.has_labels,
            "features": [feature._asdict() for feature in self.features],
        }


def drawn_plan(rng: random.Random) -> list[EntityPlan]:
    """Draw three entities; the first one detects repeats, one of the others may have labels."""
    labelled = rng.choice([None, 1, 2])
    return [
        _entity(rng, position, key, has_labels=position == labelled)
        for position, key in enumerate(rng.sample(KEYS, 3))
    ]


def _entity(rng: random.Random, position: int, key: str, *, has_labels: bool) -> EntityPlan:
    delay_ms = rng.choice([0, 1, D, 7 * D]) if position else 0
    has_distinct = not delay_ms and not has_labels and rng.random() < 0.7
    aggregates = ["count", "rate"] if has_labels else ["count", "sum", "mean"]
    pairs = {(rng.choice(aggregates), rng.choice(WINDOWS_MS)) for _ in range(rng.randrange(1, 9))}
    if has_distinct:
        pairs |= {("distinct", rng.choice(WINDOWS_MS)) for _ in range(rng.randrange(1, 4))}
    features = [
        Feature(f"{key}.{aggregate}.{window_ms}", aggregate, window_ms, delay_ms)
        for aggregate, window_ms in rng.sample(sorted(pairs), len(pairs))
    ]
    if not any(feature.aggregate != "distinct" for feature in features):
        features.append(Feature(f"{key}.n", "count", M, delay_ms))
    others = [other for other in KEYS if other != key]
    return EntityPlan(
        key,
        has_identity=position == 0,
        has_labels=has_labels,
        distinct=rng.choice(others) if has_distinct else None,
        features=features,
    )


def plan_json(entities: list[EntityPlan], lateness_ms: int) -> str:
    return json.dumps(
        {
            "digest": DIGEST,
            "limits": {"lateness_ms": lateness_ms, **LIMITS},
            "entities": [entity.as_json(chr(ord("a") + at)) for at, entity in enumerate(entities)],
        }
    )


def wire_json(entities: list[EntityPlan]) -> str:
    def text(name: str) -> dict[str, object]:
        return {"name": name, "kind": "text", "length_max": 20}

    def integer(name: str) -> dict[str, object]:
        return {"name": name, "kind": "integer", "max": 2**50}

    labelled = next((at for at, entity in enumerate(entities) if entity.has_labels), 0)
    return json.dumps(
        {
            "type_header": "type",
            "own_types_start": "parcels.",
            "replay_header": "again",
            "times": {"min_ms": 0, "ahead_max_ms": 2**50, "replay_ahead_max_ms": 0},
            "event": {
                "topic": "parcels",
                "event_type": "parcels.sent",
                "fields": [
                    *(text("code"), *map(text, KEYS), integer("grams"), integer("at_ms")),
                    {"name": "fragile", "kind": "boolean"},
                    {**integer("floor"), "is_optional": True},
                ],
                "id": "code",
                "time": "at_ms",
                "value": "grams",
                "keys": [entity.key for entity in entities],
                "distinct": [entity.distinct for entity in entities],
            },
            "label": {
                "topic": "complaints",
                "event_type": "parcels.complaint",
                "fields": [
                    *(text("code"), text("key"), integer("at_ms"), integer("observed_ms")),
                    {"name": "is_lost", "kind": "boolean"},
                ],
                "id": "code",
                "time": "at_ms",
                "observed": "observed_ms",
                "says": "is_lost",
                "key": "key",
                "entity": labelled,
            },
            "row": {
                "topic": "rows",
                "event_type": "parcels.row",
                "source": "/parcels",
                "event_name": "parcel",
                "sequence_names": [f"{entity.key}_sequence" for entity in entities],
                "on_demand": [{"name": "hour", "function": "hour"}],
            },
        }
    )


@dataclass
class _Key:
    counted: list[Parcel] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)
    first_of: dict[str, Parcel] = field(default_factory=dict)


class BruteForce:
    """All events of one entity, by key."""

    def __init__(self, plan: EntityPlan, lateness_ms: int) -> None:
        self._plan = plan
        self._lateness_ms = lateness_ms
        self._keys = defaultdict[str, _Key](_Key)

    def first(self, parcel: Parcel) -> Parcel | None:
        """The first event of the id of an event, if the entity remembers ids."""
        key = self._keys[getattr(parcel, self._plan.key)]
        return key.first_of.get(parcel.code) if self._plan.has_identity else None

    def fold(self, parcel: Parcel, *, is_repeat: bool) -> tuple[dict[str, Number], list[str]]:
        """Count an event unless it is a repeat; gives its features and the approximate names."""
        key = self._keys[getattr(parcel, self._plan.key)]
        time_ms = parcel.at_ms
        if not is_repeat:
            key.counted.append(parcel)
            key.first_of[parcel.code] = parcel
        newest_ms = max((counted.at_ms for counted in key.counted), default=time_ms)
        names = [feature.name for feature in self._plan.features]
        values = {
            feature.name: self._value(key, feature, time_ms) for feature in self._plan.features
        }
        return values, names if newest_ms - time_ms > self._lateness_ms else []

    def complain(self, complaint: Complaint) -> None:
        """Take a label, the same one once."""
        of_key = self._keys[complaint.key].complaints
        if complaint not in of_key:
            of_key.append(complaint)

    def sequence(self, parcel: Parcel) -> int:
        """How many changes the key of an event has seen."""
        key = self._keys[getattr(parcel, self._plan.key)]
        return len(key.counted) + len(key.complaints)

    def _value(self, key: _Key, feature: Feature, time_ms: int) -> Number:
        until_ms = time_ms - feature.delay_ms
        inside = [p for p in key.counted if until_ms - feature.window_ms < p.at_ms <= until_ms]
        match feature.aggregate:
            case "count":
                return len(inside)
            case "sum":
                return sum(parcel.grams for parcel in inside)
            case "mean":
                return sum(parcel.grams for parcel in inside) / len(inside) if inside else None
            case "distinct":
                assert self._plan.distinct is not None
                return len({getattr(parcel, self._plan.distinct) for parcel in inside})
            case "rate":
                lost = sum(_is_lost(key, parcel.code, time_ms) for parcel in inside)
                return lost / len(inside) if inside else 0.0


def _is_lost(key: _Key, code: str, time_ms: int) -> bool:
    known = [c for c in key.complaints if c.code == code and c.observed_ms <= time_ms]
    return bool(known) and sorted(known, key=lambda c: c.observed_ms)[-1].is_lost
