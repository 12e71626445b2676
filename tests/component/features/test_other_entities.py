"""The engine names no entity: plans of three others compute what their definitions say.

Rows of one operator and of one operator for each entity, with crashes, against a brute force that
goes through all events.
"""

from __future__ import annotations

import random

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from features.engine.job import KeptStates
from schemas.transaction import Limits
from streams.velocity.record_frame import InboundRecord, encode_record
from tests.component.features.native_operator import NativeOperator, run_all
from tests.component.features.other_entities import (
    DIGEST,
    LATENESSES_MS,
    NOW_MS,
    BruteForce,
    Complaint,
    EntityPlan,
    Parcel,
    drawn_plan,
    plan_json,
    wire_json,
)
from tests.unit.features.engine.brute_force import D, H

Event = Parcel | Complaint


def drawn_events(rng: random.Random, entities: list[EntityPlan]) -> list[Event]:
    """Draw parcels and complaints: ties, late ones, repeats, complaints before their parcels."""
    labelled = next((entity.key for entity in entities if entity.has_labels), None)
    newest_ms = NOW_MS - 100 * D
    parcels: list[Parcel] = []
    for number in range(rng.choice([10, 60])):
        newest_ms += rng.choice([0, 0, 1, 500, rng.randrange(H), rng.randrange(2 * D)])
        late_ms = rng.choice([1, rng.randrange(H), rng.randrange(2 * D)])
        at_ms = newest_ms - (late_ms if rng.random() < 0.2 else 0)
        if parcels and rng.random() < 0.1:
            # A repeat by the first entity's key; everything else it says may differ.
            first = rng.choice(parcels)
            others = {entity.key: f"{entity.key[0]}{rng.randrange(3)}" for entity in entities[1:]}
            parcels.append(first._replace(grams=9, at_ms=at_ms, fragile=True, **others))
            continue
        of = {key: f"{key[0]}{rng.randrange(3)}" for key in ("depot", "van", "recipient")}
        code = f"{of[entities[0].key]}-{number}"
        more = {"fragile": rng.random() < 0.5, "floor": rng.choice([None, 0, 7])}
        parcels.append(Parcel(code=code, grams=rng.randrange(10**6), at_ms=at_ms, **of, **more))
    events: list[Event] = list(parcels)
    if labelled is not None:
        firsts = {parcel.code: parcel for parcel in reversed(parcels)}
        for _ in range(len(parcels) // 2):
            parcel = rng.choice([*firsts.values()])
            observed_ms = parcel.at_ms + rng.choice([0, 1, rng.randrange(D), rng.randrange(20 * D)])
            complaint = Complaint(
                parcel.code,
                getattr(parcel, labelled),
                parcel.at_ms,
                observed_ms,
                rng.random() < 0.6,
            )
            events.insert(rng.randrange(len(events) + 1), complaint)
    return events


def framed(event: Event, offset: int) -> bytes:
    topic = b"parcels" if isinstance(event, Parcel) else b"complaints"
    value = orjson.dumps(event._asdict())
    return encode_record(
        topic, key=None, value=value, headers_bytes=b"", timestamp_ms=7, partition=1, offset=offset
    )


def expected_rows(
    events: list[Event], entities: list[EntityPlan], lateness_ms: int
) -> list[dict[str, object]]:
    oracles = [BruteForce(entity, lateness_ms) for entity in entities]
    rows = []
    for offset, event in enumerate(events):
        if isinstance(event, Complaint):
            next(o for o, e in zip(oracles, entities, strict=True) if e.has_labels).complain(event)
            continue
        row: dict[str, object] = {"features": {}, "approximate": []}
        parcel, is_repeat = event, False
        for oracle, entity in zip(oracles, entities, strict=True):
            if (first := oracle.first(parcel)) is not None:
                parcel, is_repeat = first, True
            values, approximate = oracle.fold(parcel, is_repeat=is_repeat)
            row["features"] |= values
            row["approximate"] += approximate
            row[f"{entity.key}_sequence"] = oracle.sequence(parcel)
        row["parcel"] = parcel.said()
        row["features"]["hour"] = parcel.at_ms // H % 24
        row["repeat"], row["definition_digest"] = is_repeat, DIGEST
        row["origin"] = {"partition": 1, "offset": offset, "timestamp_ms": 7}
        row["computed_at_ms"] = NOW_MS
        rows.append(row)
    return rows


@settings(max_examples=10 * settings().max_examples)
@given(st.integers(0, 2**32))
def test_every_feature_of_every_entity_is_what_its_definition_says(seed: int) -> None:
    rng = random.Random(seed)
    entities, lateness_ms = drawn_plan(rng), rng.choice(LATENESSES_MS)
    events = drawn_events(rng, entities)
    expected = expected_rows(events, entities, lateness_ms)
    for layout in (((0, 3),), ((0, 0), (0, 1), (1, 2), (2, 3)), ((0, 2), (2, 3))):
        job = [
            NativeOperator(
                plan_json(entities, lateness_ms),
                wire_json(entities),
                first=first,
                end=end,
                limits=Limits(),
                now_ms=NOW_MS,
                kept=KeptStates(rng.choice([1, 100]), packed_bytes_max=rng.choice([0, 1_000])),
            )
            for first, end in layout
        ]
        produced, at = [], 0
        while at < len(events):
            size = rng.choice([1, 5, 60])
            frames = [framed(event, at + n) for n, event in enumerate(events[at : at + size])]
            produced += run_all(job, frames)
            at += size
            rng.choice(job).crash()
        rows = [orjson.loads(InboundRecord.parse(frame).value or b"") for frame in produced]
        assert len(rows) == len(expected)
        for found, wanted in zip(rows, expected, strict=True):
            assert_same(found, wanted, entities)


def assert_same(
    found: dict[str, object], wanted: dict[str, object], entities: list[EntityPlan]
) -> None:
    """Equality of all but the values that are approximate, and of the order of the names."""
    assert [*found["features"]] == [*wanted["features"]]
    assert found["approximate"] == wanted["approximate"]
    for name in wanted["approximate"]:
        found["features"][name] = wanted["features"][name] = None
    for entity in entities:
        if entity.has_labels:
            # A label that comes again counts as a change once the engine has forgotten the first.
            sequence = f"{entity.key}_sequence"
            assert found[sequence] >= wanted[sequence]
            found[sequence] = wanted[sequence]
    assert found == wanted
    keys = [f"{entity.key}_sequence" for entity in entities]
    assert [name for name in found if name in keys] == keys
