"""A journal restores the same state, and its size stays below twice its snapshot."""

import random

import pytest

from streams.velocity.journal import JournaledStates


class Tape:
    """A state that is the list of its entries, so that a lost entry shows."""

    def __init__(self, entries: list[bytes] | None = None) -> None:
        self.entries = entries or []

    def encode(self) -> bytes:
        """All entries, one in each line."""
        return b"\n".join(self.entries)

    @classmethod
    def decode(cls, data: bytes) -> "Tape":
        """The inverse of encode."""
        return cls(data.split(b"\n"))


class MemoryStore:
    """``JournalStore`` of one key, in memory."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.replaced_total = 0

    def read(self) -> bytes:
        """See ``JournalStore``."""
        return b"".join(len(entry).to_bytes(4, "big") + entry for entry in self.entries)

    def append(self, entry: bytes) -> None:
        """See ``JournalStore``."""
        self.entries.append(entry)

    def replace(self, snapshot: bytes) -> None:
        """See ``JournalStore``."""
        self.entries = [snapshot]
        self.replaced_total += 1


def tapes(live_keys_max: int = 10) -> JournaledStates[Tape]:
    return JournaledStates(
        new=Tape,
        decode=Tape.decode,
        replay=lambda tape, entry: tape.entries.append(entry),
        live_keys_max=live_keys_max,
    )


def write(states: JournaledStates[Tape], key: str, entry: bytes, store: MemoryStore) -> None:
    live = states.load(key, store)
    live.state.entries.append(entry)
    states.record(live, entry, store)


def test_a_restarted_operator_finds_every_entry_despite_compactions() -> None:
    seed = random.randrange(2**32)
    print(f"seed={seed}")
    rng = random.Random(seed)
    store, states, written = MemoryStore(), tapes(), []
    for number in range(3_000):
        entry = b"%d:%s" % (number, b"x" * rng.randrange(40))
        if rng.random() < 0.02:
            states = tapes()
        write(states, "k", entry, store)
        written.append(entry)
    assert tapes().load("k", store).state.entries == written
    assert store.replaced_total > 0


def test_the_journal_stays_below_twice_its_snapshot() -> None:
    store, states = MemoryStore(), tapes()
    for number in range(5_000):
        write(states, "k", b"entry-%d" % number, store)
    snapshot, *entries = store.entries
    assert sum(map(len, entries)) <= max(len(snapshot), 4_096)


def test_compactions_get_rarer_as_the_state_grows_so_the_cost_per_event_is_constant() -> None:
    store, states = MemoryStore(), tapes()
    compactions = []
    for _ in range(2):
        before = store.replaced_total
        for number in range(4_000):
            write(states, "k", b"entry-%d" % number, store)
        compactions.append(store.replaced_total - before)
    assert compactions[1] < compactions[0]


def test_the_least_recently_used_state_is_evicted_and_restored_from_its_journal() -> None:
    stores = {key: MemoryStore() for key in "abc"}
    states = tapes(live_keys_max=2)
    for key in "abc":
        write(states, key, b"of-" + key.encode(), stores[key])
    assert [key for key, _ in states.items()] == ["c", "b"]
    assert states.load("a", stores["a"]).state.entries == [b"of-a"]
    assert [key for key, _ in states.items()] == ["a", "c"]


def test_a_cache_without_room_for_a_state_is_refused() -> None:
    with pytest.raises(ValueError, match="live_keys_max=0"):
        tapes(live_keys_max=0)
