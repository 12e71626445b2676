"""Durable state as a journal: a snapshot, then one short entry for each event folded since.

Writing the whole state of a key for every event would cost more the longer its history is.
So each event appends one entry, and the snapshot is renewed only when the entries outweigh it:
the cost per event stays flat, and the stored bytes stay within twice the snapshot. The live
state object is kept in memory and rebuilt from its journal when it is not there, with the very
fold that made it. Knows neither Flink nor Redis; the operators call it for every event.
"""

import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

SNAPSHOT = b"S"
"""What an entry that is a whole state begins with."""
_LENGTH = struct.Struct(">i")
_JOURNAL_BYTES_MIN = 4_096
"""Below this many bytes of entries a journal is never compacted."""


class EncodableState(Protocol):
    """What a journal needs of a state: its bytes."""

    def encode(self) -> bytes:
        """The full durable form."""
        ...


S = TypeVar("S", bound=EncodableState)


class JournalStore(Protocol):
    """Durable entries of the key that is being processed: Flink's list state, by ``Journal.java``.

    **Delivery:** what was appended before a checkpoint is there after a restore from it.
    **Blocks:** no; in memory until the checkpoint. **On failure:** raises, and the job restarts
    from the last checkpoint.
    """

    def read(self) -> bytes:
        """All entries in the order they were appended, each behind its length as ``>i``."""
        ...

    def append(self, entry: bytes) -> None:
        """Add one entry."""
        ...

    def replace(self, snapshot: bytes) -> None:
        """Drop all entries and store this one instead."""
        ...


class Live(Generic[S]):
    """One key's state in memory, with what its journal weighs."""

    __slots__ = ("entries_bytes", "snapshot_bytes", "state")

    def __init__(self, state: S, *, snapshot_bytes: int, entries_bytes: int) -> None:
        self.state = state
        self.snapshot_bytes = snapshot_bytes
        self.entries_bytes = entries_bytes


class JournaledStates(Generic[S]):
    """The states of many keys: the recently used ones live, all of them in their journals.

    Args:
        new: makes the state of a key never seen.
        decode: reads a snapshot's bytes.
        replay: folds one journal entry into a state.
        live_keys_max: how many states are kept in memory; the least recently used leave first.
    """

    def __init__(
        self,
        *,
        new: Callable[[], S],
        decode: Callable[[bytes], S],
        replay: Callable[[S, bytes], None],
        live_keys_max: int,
    ) -> None:
        if live_keys_max < 1:
            raise ValueError(f"live_keys_max={live_keys_max}, at least 1 is needed")
        self._new = new
        self._decode = decode
        self._replay = replay
        self._live_keys_max = live_keys_max
        self._live: OrderedDict[str, Live[S]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._live)

    def load(self, key: str, store: JournalStore) -> Live[S]:
        """The key's live state, restored from ``store`` when it is not in memory.

        Raises:
            WeirError: the journal's snapshot is of another definition digest.
        """
        live = self._live.get(key)
        if live is None:
            live = self._restore(store.read())
            self._live[key] = live
            if len(self._live) > self._live_keys_max:
                self._live.popitem(last=False)
        else:
            self._live.move_to_end(key)
        return live

    def record(self, live: Live[S], entry: bytes, store: JournalStore) -> None:
        """Make durable that ``entry`` was folded into ``live.state``."""
        live.entries_bytes += len(entry)
        if live.entries_bytes > max(live.snapshot_bytes, _JOURNAL_BYTES_MIN):
            snapshot = SNAPSHOT + live.state.encode()
            store.replace(snapshot)
            live.snapshot_bytes = len(snapshot)
            live.entries_bytes = 0
        else:
            store.append(entry)

    def items(self) -> Iterator[tuple[str, S]]:
        """Keys and states in memory, the most recently used first."""
        for key in reversed(list(self._live)):
            live = self._live.get(key)
            if live is not None:
                yield key, live.state

    def _restore(self, journal: bytes) -> Live[S]:
        snapshot_bytes = 0
        entries = _split(journal)
        if entries and entries[0].startswith(SNAPSHOT):
            snapshot_bytes = len(entries[0])
            state = self._decode(entries.pop(0)[1:])
        else:
            state = self._new()
        for entry in entries:
            self._replay(state, entry)
        return Live(
            state,
            snapshot_bytes=snapshot_bytes,
            entries_bytes=sum(len(entry) for entry in entries),
        )


def _split(journal: bytes) -> list[bytes]:
    entries = []
    at = 0
    while at < len(journal):
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(journal, at)[0]
        entries.append(journal[start:at])
    return entries
