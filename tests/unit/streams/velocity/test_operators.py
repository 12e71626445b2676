"""The stage that Flink calls: crashes, eviction, compaction and the split change no row."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import weir_engine

from features.definitions import DEFINITION_DIGEST
from features.engine.job import KeptStates
from schemas import topics
from schemas.settings import Settings
from streams.velocity.operators import OtherDefinitionsRunningError, open_stage
from tests.builders import NOW_MS, label_object, transaction_object, wire
from tests.journaled_stage import ONE_OPERATOR, SPLIT
from tests.unit.streams.velocity.story import Story

DAY_MS = 86_400_000


def seeded() -> random.Random:
    seed = random.randrange(2**32)
    print(f"seed={seed}")
    return random.Random(seed)


def events(rng: random.Random, count: int) -> list[tuple[str, bytes]]:
    """Transactions and labels of few keys, in any order, with repeats, late and invalid ones."""
    made: list[tuple[str, bytes]] = []
    for number in range(count):
        of = transaction_object(
            transaction_id=f"t-{rng.randrange(count)}",
            user_id=f"u-{rng.randrange(5)}",
            merchant_id=f"m-{rng.randrange(5)}",
            amount_minor=number,
            event_time_ms=NOW_MS - rng.randrange(40 * DAY_MS),
        )
        made.append((topics.TRANSACTIONS, wire(of)))
        if rng.random() < 0.2:
            label = label_object(
                **{name: of[name] for name in ("transaction_id", "merchant_id", "event_time_ms")},
                is_fraud=rng.random() < 0.7,
            )
            made.append((topics.LABELS, wire(label)))
        if rng.random() < 0.05:
            made.append((topics.TRANSACTIONS, rng.choice((b"{}", wire({**of, "note": [1]})))))
    return made


def batches(rng: random.Random, story: Story, of: Sequence[tuple[str, bytes]]) -> Iterator[Any]:
    frames = [story.frame(value, topic=topic) for topic, value in of]
    at = 0
    while at < len(frames):
        size = rng.choice((1, 2, 7, 60))
        yield frames[at : at + size]
        at += size


def produced(of: Sequence[tuple[str, bytes]], rng: random.Random, **changes: Any) -> list[Any]:
    """What a job produces; ``crashes`` is the share of batches after which it crashes."""
    crashes = changes.pop("crashes", 0.0)
    story = Story(**changes)
    for batch in batches(rng, story, of):
        story.feed(*batch)
        if rng.random() < crashes:
            story.job.crash()
    return story.produced


@pytest.mark.parametrize("operators", [ONE_OPERATOR, SPLIT], ids=["one", "split"])
def test_crashes_at_any_point_change_no_row(operators: Sequence[tuple[int, int]]) -> None:
    rng = seeded()
    of = events(rng, 400)
    expected = produced(of, rng, kept=KeptStates(live_keys_max=100))
    assert len(expected) > len(of) // 2
    assert produced(of, rng, operators=operators, crashes=0.2) == expected


def test_one_operator_for_each_entity_gives_the_rows_of_a_single_one() -> None:
    rng = seeded()
    of = events(rng, 400)
    assert produced(of, rng, operators=SPLIT) == produced(of, rng, operators=ONE_OPERATOR)


def test_a_state_that_left_memory_is_restored_from_its_journal() -> None:
    story = Story(kept=KeptStates(live_keys_max=1))
    for number in range(4):
        story.transaction(transaction_id=f"t-{number}", user_id=f"u-{number % 2}")
    (stage,) = story.job.stages
    assert stage.resumed_total == 4
    assert stage.job.live_len(0) == 1
    row = story.transaction(transaction_id="t-9", user_id="u-0")
    assert (row["user_sequence"], row["merchant_sequence"]) == (3, 5)


def test_a_packed_state_goes_on_without_its_journal() -> None:
    story = Story(kept=KeptStates(live_keys_max=1, packed_bytes_max=10_000))
    for number in range(8):
        story.transaction(transaction_id=f"t-{number}", user_id=f"u-{number % 2}")
    (stage,) = story.job.stages
    # Each user once, and the merchant in the same round as the first of them.
    assert stage.resumed_total == 2
    assert (stage.job.live_len(0), stage.job.packed_len(0)) == (1, 1)
    row = story.transaction(transaction_id="t-9", user_id="u-0")
    assert (row["user_sequence"], row["merchant_sequence"]) == (5, 9)


def test_states_stay_within_their_memory() -> None:
    users, live_bytes_max, packed_bytes_max = 300, 50_000, 20_000
    kept = KeptStates(live_bytes_max=live_bytes_max, packed_bytes_max=packed_bytes_max)
    story = Story(kept=kept)
    for number in range(2 * users):
        story.transaction(
            transaction_id=f"t-{number}",
            user_id=f"u-{number % users}",
            merchant_id=f"m-{number % 7}",
        )
        job = story.job.stages[0].job
        assert job.live_bytes(0) + job.live_bytes(1) <= live_bytes_max
        assert job.packed_bytes(0) + job.packed_bytes(1) <= packed_bytes_max
    assert job.live_len(0) + job.packed_len(0) < users
    assert job.packed_len(0) > job.live_len(0) > 0
    row = story.transaction(transaction_id="t", user_id="u-0", merchant_id="m-0")
    assert row["user_sequence"] == 3


def test_a_key_in_memory_needs_no_journal() -> None:
    story = Story()
    for number in range(4):
        story.transaction(transaction_id=f"t-{number}")
    assert story.job.stages[0].resumed_total == 1


def test_a_journal_stays_below_twice_its_snapshot_and_loses_nothing() -> None:
    story = Story()
    for number in range(3_000):
        story.transaction(
            transaction_id=f"t-{number}", event_time_ms=NOW_MS - (3_000 - number) * 60_000
        )
    (stage,) = story.job.stages
    assert stage.replaced_total > 0
    for entries in stage.journals.values():
        snapshot, *others = entries
        assert sum(map(len, others)) <= max(len(snapshot), 4_096)
    story.job.crash()
    assert story.transaction(transaction_id="after")["user_sequence"] == 3_001


def test_a_repeat_changes_no_journal() -> None:
    story = Story()
    story.transaction()
    (stage,) = story.job.stages
    before = {of: list(entries) for of, entries in stage.journals.items()}
    story.transaction()
    assert stage.journals == before


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(b"t-1\x1fm-1\x1f100\x1f1795478400000", id="format 1"),
        pytest.param(b"E" + bytes(19) + b"\x03t-1m-1", id="format 2"),
    ],
)
def test_a_journal_of_another_format_is_refused_by_name(entry: bytes) -> None:
    story = Story()
    story.job.stages[0].journals[0, "u-1"] = [entry]
    with pytest.raises(weir_engine.StateBytesError, match=r"another format.*remove the job's"):
        story.transaction(user_id="u-1")


def test_a_process_with_other_definitions_refuses_to_compute() -> None:
    settings = Settings(redis_url="redis://127.0.0.1:1/0").model_dump_json()
    open_stage(settings, DEFINITION_DIGEST, 0, 0, 0).close()
    with pytest.raises(OtherDefinitionsRunningError, match="restart"):
        open_stage(settings, "of-next-year", 0, 2, 0)
