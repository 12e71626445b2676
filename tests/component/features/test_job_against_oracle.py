"""The job on the native engine against the job in plain Python, record for record, byte for byte.

Whatever the size of the batches, however the job is split into operators, wherever it crashes and
restores its states from journals, and with keys that leave memory all the time.
"""

from __future__ import annotations

import random
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.definitions import CAPS, ON_DEMAND_FEATURES, Caps
from features.engine.job import UNLIMITED, KeptStates
from features.engine.plan import ENTITIES, plan_json
from features.engine.wire import wire_json
from infra.simulation.event import Event
from schemas import topics
from streams.velocity.record_frame import InboundRecord, encode_headers, encode_record
from tests.blind_stream import BlindStream
from tests.builders import LIMITS, NOW_MS, transaction_object, wire
from tests.component.features.native_operator import NativeOperator, run_all
from tests.component.features.record_streams import RecordStream
from tests.component.features.test_engine_against_oracle import ALL_CAPS
from tests.journaled_stage import ONE_OPERATOR, SPLIT
from tests.oracle.job import Job
from tests.unit.features.engine.brute_force import D

RECORDS_MAX = 500
on_streams = settings(suppress_health_check=[HealthCheck.too_slow])


def operators(
    layout: tuple[tuple[int, int], ...], *, caps: Caps, kept: KeptStates
) -> list[NativeOperator]:
    return [
        NativeOperator(
            plan_json(caps=caps),
            wire_json(LIMITS),
            first=first,
            end=end,
            limits=LIMITS,
            now_ms=NOW_MS,
            kept=kept,
        )
        for first, end in layout
    ]


def random_stream(rng: random.Random) -> list[bytes]:
    stream = RecordStream(
        rng,
        users=rng.choice([1, 5, 50]),
        merchants=rng.choice([1, 6, 40]),
        span_ms=rng.choice([D // 24, D, 40 * D]),
    )
    return stream.frames(rng.choice([100, RECORDS_MAX]))


@on_streams
@given(st.integers(0, 2**32))
def test_every_record_that_is_produced_is_the_same(seed: int) -> None:
    rng = random.Random(seed)
    both_give(random_stream(rng), rng, caps=rng.choice(ALL_CAPS))


@on_streams
@given(st.integers(0, 2**32))
def test_the_row_of_a_repeat_says_what_its_first_delivery_said(seed: int) -> None:
    rng = random.Random(seed)
    stream = BlindStream(rng, prefix="b", start_ms=NOW_MS - 60 * D)
    sent = [frame_of(event, at) for at, event in enumerate(stream.events(rng.choice([30, 200])))]
    first_row: dict[tuple[str, str], dict[str, object]] = {}
    for produced in both_give(sent, rng, caps=CAPS):
        record = InboundRecord.parse(produced)
        row = orjson.loads(record.value or b"")
        transaction = row["transaction"]
        identity = (transaction["user_id"], transaction["transaction_id"])
        if not row["repeat"]:
            said = orjson.loads(InboundRecord.parse(sent[row["origin"]["offset"]]).value or b"")
            assert transaction == said
            first_row[identity] = {**row, "ce_time": dict(record.headers)["ce_time"]}
            continue
        first = first_row[identity]
        assert transaction == first["transaction"]
        assert of_event(row) == of_event(first)
        assert dict(record.headers)["ce_time"] == first["ce_time"]


def of_event(row: dict[str, Any]) -> dict[str, object]:
    """The features of the event itself."""
    return {feature.name: row["features"][feature.name] for feature in ON_DEMAND_FEATURES}


def frame_of(event: Event, offset: int) -> bytes:
    return encode_record(
        event.topic.encode(),
        key=event.key,
        value=event.value,
        headers_bytes=encode_headers([topics.REPLAY_HEADER]),
        timestamp_ms=NOW_MS,
        offset=offset,
    )


def both_give(frames: list[bytes], rng: random.Random, *, caps: Caps) -> list[bytes]:
    """Give what both jobs produce, in batches, with few or many states in memory, with crashes."""
    oracle = Job(limits=LIMITS, now_ms=NOW_MS, caps=caps)
    expected = [produced for frame in frames if (produced := oracle.process(frame)) is not None]
    layout = rng.choice([ONE_OPERATOR, SPLIT])
    kept = KeptStates(
        live_keys_max=rng.choice([1, 3, UNLIMITED]),
        live_bytes_max=rng.choice([1, 20_000, UNLIMITED]),
        packed_bytes_max=rng.choice([0, 2_000, UNLIMITED]),
    )
    job = operators(layout, caps=caps, kept=kept)
    crashes = rng.choice([0.0, 0.0, 0.1, 1.0])
    produced = []
    at = 0
    while at < len(frames):
        size = rng.choice([1, 3, 16, 100, RECORDS_MAX])
        produced += run_all(job, frames[at : at + size])
        at += size
        if rng.random() < crashes:
            for operator in job:
                operator.crash()
    assert produced == expected
    assert_same_states(job, oracle)
    return produced


def assert_same_states(job: list[NativeOperator], oracle: Job) -> None:
    """Compare every state, restored from its journal."""
    of_entity = {"user": oracle.users, "merchant": oracle.merchants}
    for position, planned in enumerate(ENTITIES):
        (operator,) = (o for o in job if any(entity == position for entity, _ in o.journals))
        states = of_entity[planned.entity]
        keys = {key for entity, key in operator.journals if entity == position}
        assert keys >= {key for key, state in states.items() if state.sequence}
        for key in keys:
            event = transaction_frame(**{planned.key_field: key})
            assert operator.restored(position, key, event=event) == states[key].encode()


def transaction_frame(**changes: str) -> bytes:
    return encode_record(
        topics.TRANSACTIONS.encode(),
        key=None,
        value=wire(transaction_object(**changes)),
        headers_bytes=b"",
    )


def test_a_hot_key_past_the_caps_of_production_crashes_and_goes_on() -> None:
    rng = random.Random(0)
    stream = RecordStream(rng, users=1, merchants=1, span_ms=D // 24, refused=0.0)
    frames = stream.frames(CAPS.events_max + 3_000)
    oracle = Job(limits=LIMITS, now_ms=NOW_MS)
    expected = [produced for frame in frames if (produced := oracle.process(frame)) is not None]
    job = operators(ONE_OPERATOR, caps=CAPS, kept=KeptStates(10, packed_bytes_max=10_000))
    produced = []
    for at in range(0, len(frames), 512):
        produced += run_all(job, frames[at : at + 512])
        if at % (512 * 8) == 0:
            job[0].crash()
    assert produced == expected
