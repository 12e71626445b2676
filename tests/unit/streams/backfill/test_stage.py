"""The backfill computes what the stream computed: rows, late labels and final states."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import orjson
import pytest

from features.definitions import DEFINITION_DIGEST
from features.engine.job import KeptStates
from features.engine.state import MerchantState
from schemas import topics
from schemas.settings import Settings
from streams.backfill.frames import FoldPlace
from streams.backfill.operators import open_stage
from streams.backfill.stage import RefusedRecordError
from streams.velocity.operators import OtherDefinitionsRunningError
from tests.builders import label_object, transaction_object, wire
from tests.unit.streams.velocity.story import Story, row_of
from tests.unit.streams.velocity.test_record_frame import framed

DAY_MS = 86_400_000
START_MS = 1_790_000_000_000
USER, MERCHANT = 0, 1


def frame_of(topic: str, obj: dict[str, Any]) -> bytes:
    return framed(
        topic=topic.encode(),
        partition=1,
        offset=7,
        timestamp_ms=5,
        key=None,
        value=wire(obj),
        headers=[topics.REPLAY_HEADER],
    )


def opened(entity: int, **changes: Any) -> Any:
    """A stage that writes nothing to Redis."""
    return open_stage(Settings(**changes).model_dump_json(), DEFINITION_DIGEST, entity, False)


class Batch:
    """Both stages as batch mode calls them: frames sorted by key, then by position."""

    def __init__(self, **changes: Any) -> None:
        self.user = opened(USER, **changes)
        self.merchant = opened(MERCHANT, **changes)
        self.rows: dict[tuple[str, bool], dict[str, Any]] = {}
        self.states: dict[tuple[int, str], bytes] = {}

    def run(
        self, transactions: list[tuple[FoldPlace, dict[str, Any]]], labels: list[dict[str, Any]]
    ) -> None:
        by_user: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
        for place, obj in transactions:
            frame = place.pack() + frame_of(topics.TRANSACTIONS, obj)
            by_user[obj["user_id"]].append((place.user_order, frame))
        by_merchant: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
        for number, label in enumerate(labels):
            frame = FoldPlace(0, number, 0).pack() + frame_of(topics.LABELS, label)
            by_merchant[label["merchant_id"]].append((number, frame))
        for user_id, frames in by_user.items():
            for _, frame in sorted(frames):
                answer = self.user.process(user_id, frame)
                rest_at = 2 + int.from_bytes(answer[:2], "big")
                order = FoldPlace.unpack(answer[rest_at:]).merchant_order
                by_merchant[answer[2:rest_at].decode()].append((order, answer[rest_at:]))
            self._finish(USER, user_id, self.user.finish_key(user_id))
        for merchant_id, frames in by_merchant.items():
            for _, frame in sorted(frames):
                answer_or_none = self.merchant.process(merchant_id, frame)
                if answer_or_none is not None:
                    row = orjson.loads(answer_or_none[2:])
                    self.rows[row["transaction"]["transaction_id"], row["repeat"]] = row
            self._finish(MERCHANT, merchant_id, self.merchant.finish_key(merchant_id))

    def _finish(self, entity: int, key: str, snapshot: bytes | None) -> None:
        assert snapshot is not None
        assert snapshot[0] == entity
        self.states[entity, key] = snapshot[1:]


def place_of(row: dict[str, Any], number: int) -> FoldPlace:
    """The position that `training.archive.backfill_input` gives a row, in the job's order."""
    return FoldPlace(
        user_order=number,
        merchant_order=(1 << 40) + number,
        labels_until=row["merchant_sequence"] - (not row["repeat"]),
    )


def test_batch_gives_the_rows_and_states_of_the_stream_late_labels_and_repeats_included() -> None:
    rng = random.Random(5)
    stream = Story(kept=KeptStates(live_keys_max=100))
    rows: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    sent: list[dict[str, Any]] = []
    for number in range(400):
        obj = transaction_object(
            transaction_id=f"t{number}",
            user_id=f"u{rng.randrange(5)}",
            merchant_id=f"m{rng.randrange(3)}",
            amount_minor=number,
            event_time_ms=START_MS + number * DAY_MS // 20 - rng.choice((0, 0, DAY_MS // 2)),
        )
        if number % 40 == 39:
            obj = sent[-1]
        (record,) = stream.feed(stream.frame(wire(obj), headers=[topics.REPLAY_HEADER]))
        rows.append(row_of(record))
        sent.append(obj)
        if number % 3 == 0:
            of = rng.choice(sent)
            labels.append(
                label_object(
                    transaction_id=of["transaction_id"],
                    merchant_id=of["merchant_id"],
                    event_time_ms=of["event_time_ms"],
                    observed_time_ms=of["event_time_ms"] + rng.randrange(9) * DAY_MS,
                    is_fraud=rng.random() < 0.8,
                )
            )
            frame = stream.frame(
                wire(labels[-1]), topic=topics.LABELS, headers=[topics.REPLAY_HEADER]
            )
            assert stream.feed(frame) == []
    batch = Batch()
    batch.run(
        [(place_of(row, at), obj) for at, (row, obj) in enumerate(zip(rows, sent, strict=True))],
        labels,
    )
    assert any(row["repeat"] for row in rows)
    for row in rows:
        again = batch.rows[row["transaction"]["transaction_id"], row["repeat"]]
        for name in ("transaction", "features", "approximate", "user_sequence"):
            assert again[name] == row[name], name
        assert again["merchant_sequence"] == row["merchant_sequence"]
    assert batch.states == stream.job.snapshots()


def test_a_merchant_of_labels_alone_has_a_state_and_no_row() -> None:
    batch = Batch()
    batch.run([], [label_object(merchant_id="m-1")])
    assert batch.rows == {}
    assert MerchantState.decode(batch.states[MERCHANT, "m-1"][1:]).sequence == 1


def test_a_key_without_state_does_not_get_the_state_of_the_previous_key() -> None:
    stage = opened(USER)
    place = FoldPlace(0, 0, 0).pack()
    stage.process("u-1", place + frame_of(topics.TRANSACTIONS, transaction_object(user_id="u-1")))
    assert stage.finish_key("u-1") is not None
    assert stage.finish_key("u-2") is None


def test_the_user_stage_keeps_the_position_in_front_of_its_output() -> None:
    stage = opened(USER)
    place = FoldPlace(3, 4, 5)
    answer = stage.process("u", place.pack() + frame_of(topics.TRANSACTIONS, transaction_object()))
    rest_at = 2 + int.from_bytes(answer[:2], "big")
    assert FoldPlace.unpack(answer[rest_at:]) == place
    assert opened(MERCHANT).process("m-1", answer[rest_at:]) is not None
    assert answer[2:rest_at] == b"m-1"


def test_a_record_that_is_no_longer_valid_ends_the_backfill() -> None:
    with pytest.raises(RefusedRecordError, match=r"offset 7 of transactions partition 1"):
        Batch(currency="USD").run([(FoldPlace(0, 0, 0), transaction_object())], [])
    wrong = {**label_object(), "is_fraud": "yes"}
    with pytest.raises(RefusedRecordError, match="of labels"):
        Batch().run([], [wrong])


def test_a_process_with_other_definitions_refuses_to_compute() -> None:
    settings = Settings().model_dump_json()
    with pytest.raises(OtherDefinitionsRunningError, match="restart"):
        open_stage(settings, "of-next-year", MERCHANT, False)
