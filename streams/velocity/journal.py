"""Durable state as a journal: one snapshot, then one short entry for each event since then.

Writing the whole state for every event would cost more the longer the history of a key is. So
each event appends one entry, and a new snapshot replaces the entries when they are larger than
the old snapshot. The cost per event stays constant, and the journal stays below twice the size of
its snapshot. States in use are kept in memory; others are restored from their journals by the same
fold. Knows neither Flink nor Redis; the stages call it for every event.
"""

import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

SNAPSHOT = b"S"
"""First byte of an entry that is a snapshot."""
_LENGTH = struct.Struct(">i")
_JOURNAL_BYTES_MIN = 4_096
"""A journal with fewer bytes of entries than this is not compacted."""


class EncodableState(Protocol):
    """What a journal needs of a state."""

    def encode(self) -> bytes:
        """The complete state as bytes."""
        ...


S = TypeVar("S", bound=EncodableState)


class JournalStore(Protocol):
    """The durable entries of the current key: Flink's list state, behind ``Journal.java``.

    **Delivery:** entries appended before a checkpoint are there after a restore from it.
    **Blocks:** no; writes stay in memory until the checkpoint. **On failure:** raises, and the job
    restarts from the last checkpoint.
    """

    def read(self) -> bytes:
        """All entries in order, each preceded by its length as ``>i``."""
        ...

    def append(self, entry: bytes) -> None:
        """Add one entry."""
        ...

    def replace(self, snapshot: bytes) -> None:
        """Replace all entries by this one."""
        ...


class LiveState(Generic[S]):
    """The state of one key in memory, and the size of its journal in bytes."""

    __slots__ = ("entries_bytes", "snapshot_bytes", "state")

    def __init__(self, state: S, *, snapshot_bytes: int, entries_bytes: int) -> None:
        self.state = state
        self.snapshot_bytes = snapshot_bytes
        self.entries_bytes = entries_bytes


class JournaledStates(Generic[S]):
    """The states of many keys: an LRU cache in front of their journals.

    Args:
        new: makes the state of a new key.
        decode: decodes a snapshot.
        replay: folds one journal entry into a state.
        live_keys_max: how many states are kept in memory; the least recently used are evicted.

    Raises:
        ValueError: ``live_keys_max`` is less than 1.
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
            raise ValueError(f"live_keys_max={live_keys_max} must be at least 1")
        self._new = new
        self._decode = decode
        self._replay = replay
        self._live_keys_max = live_keys_max
        self._live: OrderedDict[str, LiveState[S]] = OrderedDict()

    def load(self, key: str, store: JournalStore) -> LiveState[S]:
        """The state of the key, restored from ``store`` when it is not in memory.

        Raises:
            WeirError: the snapshot was made by other definitions.
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

    def record(self, live: LiveState[S], entry: bytes, store: JournalStore) -> None:
        """Append ``entry``, which was folded into ``live.state``, or renew the snapshot."""
        live.entries_bytes += len(entry)
        if live.entries_bytes > max(live.snapshot_bytes, _JOURNAL_BYTES_MIN):
            snapshot = SNAPSHOT + live.state.encode()
            store.replace(snapshot)
            live.snapshot_bytes = len(snapshot)
            live.entries_bytes = 0
        else:
            store.append(entry)

    def items(self) -> Iterator[tuple[str, S]]:
        """Keys and states in memory, most recently used first."""
        for key in reversed(list(self._live)):
            live = self._live.get(key)
            if live is not None:
                yield key, live.state

    def _restore(self, journal: bytes) -> LiveState[S]:
        snapshot_bytes = 0
        entries = _split(journal)
        if entries and entries[0].startswith(SNAPSHOT):
            snapshot_bytes = len(entries[0])
            state = self._decode(entries.pop(0)[1:])
        else:
            state = self._new()
        for entry in entries:
            self._replay(state, entry)
        return LiveState(
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
