"""A rewrite of all states: every stored key once, in bounded slices, and no changed key is lost."""

from __future__ import annotations

import pytest

from features.engine.job import UNLIMITED, KeptStates
from features.engine.plan import ENTITIES
from features.engine.state import UserState
from features.online.layout import entity_key
from streams.velocity.engine_frames import encode_batch
from streams.velocity.online_rewrite import (
    NEXT,
    SLICE_KEYS_MAX,
    START,
    WAIT,
    WAITING_KEYS_MAX,
    OnlineRewrite,
)
from tests.builders import LIMITS, NOW_MS, transaction_object, wire
from tests.journaled_stage import FEW_KEPT, JournaledStage
from tests.parity_world import stored_hash
from tests.stored_journals import StoredJournals
from tests.unit.streams.velocity.test_record_frame import framed

USER, MERCHANT = 0, 1
WRITE_KEYS_MAX = 128
PROJECT = "weir"


def folded(users: int, *, kept: KeptStates = FEW_KEPT, keys_max: int = 10_000) -> JournaledStage:
    """A stage of which all changes have been written; few of its states are in memory."""
    stage = JournaledStage(
        0,
        len(ENTITIES),
        limits=LIMITS,
        clock_ms=lambda: NOW_MS,
        kept=kept,
        changed_keys_max=keys_max,
        project=PROJECT,
    )
    for number in range(users):
        fold(stage, f"u-{number}", f"t-{number}")
        write(stage)
    return stage


def fold(stage: JournaledStage, user: str, transaction_id: str) -> None:
    obj = transaction_object(user_id=user, transaction_id=transaction_id)
    stage.run([framed(value=wire(obj))])


def write(stage: JournaledStage, keys_max: int = WRITE_KEYS_MAX) -> tuple[list[bytes], list[bytes]]:
    """Take changed users, as a write that succeeds."""
    taken = stage.job.take_changed(USER, keys_max)
    stage.job.confirm(USER)
    return taken


def rewrite_of(stage: JournaledStage, *, keys_max: int = 10_000) -> OnlineRewrite:
    return OnlineRewrite(stage.job, USER, keys_max=keys_max, write_keys_max=WRITE_KEYS_MAX)


def user_key(number: int) -> bytes:
    return entity_key("user", f"u-{number}", PROJECT)


def test_every_stored_key_is_written_also_those_not_in_memory() -> None:
    stage = folded(200)
    assert stage.job.live_len(USER) == 3
    rewrite = rewrite_of(stage)
    journals = StoredJournals(stage, rewrite)
    assert rewrite.is_done
    assert not journals.give()
    rewrite.begin()
    written: list[bytes] = []
    while not rewrite.is_done:
        journals.give()
        keys, _ = write(stage)
        rewrite.written(len(keys))
        written += keys
    # Those in memory were written at once, and again as stored ones.
    assert len(written) == 200 + 3
    assert set(written) == {user_key(number) for number in range(200)}
    assert rewrite.keys == 200
    assert rewrite.slices == -(-200 // SLICE_KEYS_MAX)
    assert stage.job.live_len(USER) == 3


def test_a_merchant_that_only_a_repeat_has_named_is_not_written() -> None:
    stage = folded(0)
    for merchant in ("first", "other"):
        obj = transaction_object(transaction_id="t", merchant_id=merchant)
        stage.run([framed(value=wire(obj))])
    stage.job.mark_all(MERCHANT)
    keys, _ = stage.job.take_changed(MERCHANT, WRITE_KEYS_MAX)
    assert keys == [entity_key("merchant", "first", PROJECT)]


def test_what_is_written_is_what_the_state_in_memory_gives() -> None:
    stage = folded(1)
    for number in range(20):
        fold(stage, "u-0", f"more-{number}")
    write(stage)
    snapshot = stage.job.snapshot(USER, "u-0")
    assert snapshot is not None
    for number in range(1, 9):
        fold(stage, f"u-{number}", f"other-{number}")
    write(stage)
    assert stage.job.snapshot(USER, "u-0") is None
    stored = encode_batch([b"u-0", encode_batch(stage.journals[USER, "u-0"])])
    assert stage.job.mark_journals(USER, stored) == 1
    keys, values = write(stage)
    assert keys == [user_key(0)]
    assert values == list(stored_hash("user", UserState.decode(snapshot[1:])).values())


def test_a_state_that_changed_meanwhile_is_written_as_it_is_now() -> None:
    stage = folded(9)
    old = encode_batch([b"u-0", encode_batch(stage.journals[USER, "u-0"])])
    fold(stage, "u-0", "newer")
    stage.job.mark_journals(USER, old)
    _, values = write(stage)
    assert values[0] == b"2"
    # It changed, left the memory, and still waits.
    fold(stage, "u-0", "newest")
    for number in range(1, 9):
        fold(stage, f"u-{number}", f"other-{number}")
    stage.job.mark_journals(USER, old)
    keys, values = write(stage)
    fields = len(values) // len(keys)
    assert values[fields * keys.index(user_key(0))] == b"3"


def test_nothing_is_read_while_many_keys_wait_and_no_changed_key_is_dropped() -> None:
    keys_max = 40
    stage = folded(100, keys_max=keys_max)
    rewrite = rewrite_of(stage, keys_max=keys_max)
    journals = StoredJournals(stage, rewrite)
    rewrite.begin()
    written: set[bytes] = set()
    for number in range(1_000):
        if rewrite.is_done:
            break
        journals.give()
        if number % 5 == 0:
            fold(stage, f"busy-{number % 7}", f"busy-{number}")
            keys, _ = write(stage, 9)
            rewrite.written(len(keys))
            written |= set(keys)
        assert stage.job.changed_len(USER) <= keys_max
    assert rewrite.is_done
    assert WAIT in journals.wishes
    assert stage.job.dropped_total(USER) == 0
    assert not rewrite.has_missed_keys
    assert {user_key(number) for number in range(100)} <= written


def test_a_packed_state_is_written_as_it_is_after_its_last_change() -> None:
    kept = KeptStates(live_keys_max=1, packed_bytes_max=UNLIMITED)
    stage = folded(4, kept=kept)
    expected = folded(4, kept=KeptStates())
    for number, user in enumerate(("u-0", "u-1", "u-0", "u-2")):
        # Changes of u-0 and u-1 wait while their states are packed, and u-0 changes again.
        for each in (stage, expected):
            fold(each, user, f"later-{number}")
    assert stage.job.packed_len(USER) == 3
    keys, values = write(stage)
    assert keys == [user_key(number) for number in range(3)]
    assert (keys, values) == write(expected)


def test_the_default_limits_leave_room_for_changed_keys() -> None:
    assert WAITING_KEYS_MAX + SLICE_KEYS_MAX < 1_000
    stage = folded(2 * WAITING_KEYS_MAX, kept=KeptStates(live_keys_max=1))
    rewrite = rewrite_of(stage)
    journals = StoredJournals(stage, rewrite)
    rewrite.begin()
    while journals.give():
        pass
    assert stage.job.changed_len(USER) < WAITING_KEYS_MAX + SLICE_KEYS_MAX
    assert journals.wishes[0] == START
    assert journals.wishes[1] == NEXT
    assert journals.wishes[-1] == WAIT


def test_a_rewrite_that_begins_again_starts_from_the_first_key() -> None:
    stage = folded(3 * SLICE_KEYS_MAX)
    rewrite = rewrite_of(stage)
    journals = StoredJournals(stage, rewrite)
    rewrite.begin()
    journals.give()
    rewrite.begin()
    while journals.give():
        pass
    assert journals.wishes == [START, START, NEXT, NEXT, NEXT]
    assert rewrite.keys == 3 * SLICE_KEYS_MAX


def test_a_slice_of_the_rewrite_before_does_not_end_the_new_one() -> None:
    stage = folded(2)
    rewrite = rewrite_of(stage)
    rewrite.begin()
    rewrite.wish()
    rewrite.begin()
    rewrite.take(b"", is_end=True)
    assert not rewrite.is_done
    assert rewrite.wish()[1:2] == START


def test_a_slice_beyond_the_limit_is_a_bug() -> None:
    stage = folded(0)
    rewrite = rewrite_of(stage)
    rewrite.begin()
    rewrite.wish()
    slice_ = encode_batch([b"k", b""] * (SLICE_KEYS_MAX + 1))
    with pytest.raises(ValueError, match="65 keys, 64 were wanted"):
        rewrite.take(slice_, is_end=False)


def test_a_key_without_its_journal_is_refused() -> None:
    with pytest.raises(ValueError, match="key 1 has no journal"):
        folded(0).job.mark_journals(USER, encode_batch([b"k", b"", b"l"]))


def test_keys_that_were_dropped_since_the_first_slice_are_missed() -> None:
    stage = folded(0, keys_max=4)
    rewrite = rewrite_of(stage, keys_max=4)
    rewrite.begin()
    rewrite.wish()
    assert not rewrite.has_missed_keys
    for number in range(5):
        fold(stage, f"u-{number}", f"t-{number}")
    assert rewrite.has_missed_keys
