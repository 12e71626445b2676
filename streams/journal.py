"""Durable state as a journal: a snapshot, then one short entry for each event folded since.

Writing the whole state of a key for every event would cost more the longer its history is.
So each event appends one entry, and the snapshot is renewed only when the entries outweigh it:
the cost per event stays flat, and the stored bytes stay within twice the snapshot. The live
state object is kept in memory and rebuilt from its journal when it is not there, with the very
fold that made it. Knows neither Flink nor Redis; the operators call it for every event.
"""

import base64
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

_SNAPSHOT = "S"
_JOURNAL_CHARS_MIN = 4_096
"""Below this many characters of entries a journal is never compacted."""


class EncodableState(Protocol):
    """What a journal needs of a state: its bytes."""

    def encode(self) -> bytes:
        """The full durable form."""
        ...


S = TypeVar("S", bound=EncodableState)


class JournalStore(Protocol):
    """Durable text entries of the key that is being processed; Flink's list state is one.

    **Delivery:** what was appended before a checkpoint is there after a restore from it.
    **Blocks:** no; in memory until the checkpoint. **On failure:** raises, and the job restarts
    from the last checkpoint.
    """

    def read(self) -> list[str]:
        """All entries in the order they were appended; empty for a new key."""
        ...

    def append(self, entry: str) -> None:
        """Add one entry."""
        ...

    def replace(self, entries: list[str]) -> None:
        """Drop all entries and store these instead."""
        ...


class Live(Generic[S]):
    """One key's state in memory, with what its journal weighs."""

    __slots__ = ("entries_chars", "snapshot_chars", "state")

    def __init__(self, state: S, *, snapshot_chars: int, entries_chars: int) -> None:
        self.state = state
        self.snapshot_chars = snapshot_chars
        self.entries_chars = entries_chars


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
        replay: Callable[[S, str], None],
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

    def record(self, live: Live[S], entry: str, store: JournalStore) -> None:
        """Make durable that ``entry`` was folded into ``live.state``."""
        live.entries_chars += len(entry)
        if live.entries_chars > max(live.snapshot_chars, _JOURNAL_CHARS_MIN):
            snapshot = _SNAPSHOT + base64.b64encode(live.state.encode()).decode("ascii")
            store.replace([snapshot])
            live.snapshot_chars = len(snapshot)
            live.entries_chars = 0
        else:
            store.append(entry)

    def items(self) -> Iterator[tuple[str, S]]:
        """Keys and states in memory, the most recently used first."""
        for key in reversed(list(self._live)):
            live = self._live.get(key)
            if live is not None:
                yield key, live.state

    def _restore(self, journal: list[str]) -> Live[S]:
        snapshot_chars = 0
        entries = journal
        if journal and journal[0].startswith(_SNAPSHOT):
            state = self._decode(base64.b64decode(journal[0][1:]))
            snapshot_chars = len(journal[0])
            entries = journal[1:]
        else:
            state = self._new()
        for entry in entries:
            self._replay(state, entry)
        return Live(
            state,
            snapshot_chars=snapshot_chars,
            entries_chars=sum(len(entry) for entry in entries),
        )
