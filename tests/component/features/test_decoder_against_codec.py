"""The engine's fast decoder takes nothing that the codec refuses, and reads the same fields.

Mutated records by the thousand. What the engine does not take is left to the codec, so it may leave
what is unusual; it must take what is plain, or nothing is gained.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import orjson
import weir_engine
from hypothesis import given, settings
from hypothesis import strategies as st

from features.engine.job import KeptStates
from features.engine.plan import plan_json
from features.engine.wire import wire_json
from schemas import codec, topics
from schemas.errors import InvalidEventError
from schemas.label import Label
from schemas.transaction import Limits, Transaction
from streams.velocity import engine_frames
from streams.velocity.record_frame import encode_headers, encode_record
from tests.builders import NOW_MS, label_object, transaction_object
from tests.component.features.record_streams import mutated

RECORDS_EACH = 1_500
"""For each example: 36,000 records by default, 240,000 in the profile `thorough`."""

LIMITS = [
    Limits(),
    Limits(currency="CHF", amount_minor_max=2_000, event_time_ms_min=NOW_MS, event_ahead_ms_max=0),
    Limits(amount_minor_max=2**53 - 1, event_time_ms_min=0, event_ahead_ms_max=2**53 - 1),
    Limits(replay_ahead_ms_max=0),
]
_TEXT, _INTEGER, _FALSE, _TRUE = range(1, 5)

Event = Transaction | Label


class Decoder:
    """The engine as an operator without entities: it decodes, and emits what it has taken."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._job = weir_engine.Job(
            plan_json(),
            wire_json(limits),
            first=0,
            end=0,
            **asdict(KeptStates()),
            changed_keys_max=1,
            layouts=[],
        )

    def taken(self, frames: list[bytes], make: Callable[..., Event]) -> list[Event | None]:
        """What the engine reads in each record; None for one that it leaves."""
        left = self._job.begin(engine_frames.encode_batch(frames), NOW_MS)
        for position in left:
            self._job.refuse(position, b"left")
        emitted = engine_frames.decode_outcome(self._job.finish(NOW_MS)).emitted
        taken = [element for _, element in emitted if not element.startswith(b"D")]
        events: list[Event | None] = [make(*fields_of(element)) for element in taken]
        for position in left:
            events.insert(position, None)
        assert len(events) == len(frames)
        return events


def fields_of(element: bytes) -> list[str | int | bool | None]:
    """Read the fields of an event or a label on its way; native/src/item.rs writes them."""
    at = 1
    if element[:1] != b"L":
        at += 1 + 4 + 8 + 8
        at += 4 + int.from_bytes(element[at : at + 4], "big")
    count, at = element[at], at + 1
    fields: list[str | int | bool | None] = []
    for _ in range(count):
        tag, at = element[at], at + 1
        if tag == _TEXT:
            end = at + 4 + int.from_bytes(element[at : at + 4], "big")
            fields.append(element[at + 4 : end].decode())
            at = end
        elif tag == _INTEGER:
            fields.append(int.from_bytes(element[at : at + 8], "big", signed=True))
            at += 8
        else:
            fields.append({0: None, _FALSE: False, _TRUE: True}[tag])
    return fields


def framed(value: bytes, *, topic: str, is_replay: bool) -> bytes:
    return encode_record(
        topic.encode(),
        key=None,
        value=value,
        headers_bytes=encode_headers([topics.REPLAY_HEADER] if is_replay else []),
        timestamp_ms=NOW_MS,
        partition=0,
        offset=0,
    )


def originals(rng: random.Random) -> dict[str, list[bytes]]:
    """Valid records of both topics, in several styles."""
    transactions = [
        transaction_object(),
        transaction_object(device_type=None, ip_country=None, note="x", other=-1.5),
        transaction_object(user_id="ü 😀", merchant_id="m" * 128, amount_minor=10**12),
        {**transaction_object(), "event_time_ms": NOW_MS + 300_000, "amount_minor": 0},
    ]
    labels = [label_object(), label_object(is_fraud=False, note=None, transaction_id="é" * 128)]
    styles = [0, 0, orjson.OPT_INDENT_2, orjson.OPT_SORT_KEYS]
    return {
        topic: [orjson.dumps(obj, option=rng.choice(styles)) for obj in objects]
        for topic, objects in ((topics.TRANSACTIONS, transactions), (topics.LABELS, labels))
    }


@settings(max_examples=settings().max_examples)
@given(st.integers(0, 2**32))
def test_what_is_taken_is_valid_and_means_the_same(seed: int) -> None:
    rng = random.Random(seed)
    limits, is_replay = rng.choice(LIMITS), rng.random() < 0.3
    topic = rng.choice([topics.TRANSACTIONS, topics.TRANSACTIONS, topics.LABELS])
    decode, make = (
        (codec.decode_label, Label)
        if topic == topics.LABELS
        else (partial(codec.decode_transaction, record_ms=NOW_MS), Transaction)
    )
    of_topic = originals(rng)[topic]
    values = [mutated(rng, rng.choice(of_topic)) for _ in range(RECORDS_EACH)]
    frames = [framed(value, topic=topic, is_replay=is_replay) for value in values]
    for value, taken in zip(values, Decoder(limits).taken(frames, make), strict=True):
        if taken is None:
            continue
        try:
            expected = decode(value, limits=limits, now_ms=NOW_MS, is_replay=is_replay)
        except InvalidEventError as error:
            raise AssertionError(f"{value!r} was taken as {taken}: {error}") from error
        assert taken == expected, value
        assert [*map(type, asdict(taken).values())] == [*map(type, asdict(expected).values())]


def test_what_is_plain_is_taken() -> None:
    decoder, counts = Decoder(Limits()), Counter[bool]()
    for topic, values in originals(random.Random(1)).items():
        make = Label if topic == topics.LABELS else Transaction
        frames = [framed(value, topic=topic, is_replay=False) for value in values]
        counts.update(event is not None for event in decoder.taken(frames, make))
    assert counts == {True: 6}


def test_the_mutations_are_of_both_kinds() -> None:
    """Otherwise the comparison would compare nothing."""
    rng = random.Random(2)
    values = [mutated(rng, originals(rng)[topics.TRANSACTIONS][0]) for _ in range(1_000)]
    frames = [framed(value, topic=topics.TRANSACTIONS, is_replay=False) for value in values]
    taken = [event is not None for event in Decoder(Limits()).taken(frames, Transaction)]
    assert 150 < sum(taken) < 850
