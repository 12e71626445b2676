"""A rewrite of all states of one entity, between the task that has them and the writer to Redis.

    writer's thread:   begin ......... written ... written ........... is_done
    task's thread:           wish START, take    wish NEXT, take(end)

The task reads the journals of all keys, also of those whose states are not in the engine's memory,
in slices between two batches (``streams/jvm/weir/OnlineRewrite.java``). It gets a next wish only
while few keys wait for Redis, so the writer's pace bounds the rate, and no changed key is dropped
for a rewrite. Touches no clock and no client.
"""

import struct
import threading

from features.engine.job import Job

SLICE_KEYS_MAX = 64
"""Most keys of a slice; fewer if their journals are long. No batch is computed meanwhile, for about
a millisecond."""
WAITING_KEYS_MAX = 512
"""While so many keys of the entity wait for Redis, no slice is wanted."""

START = b"S"
"""The next slice is the first one."""
NEXT = b"N"
WAIT = b"W"
"""A rewrite is under way, and no slice is wanted now."""

_WISH = struct.Struct(">BcH")


class OnlineRewrite:
    """The newest rewrite of an entity's states; one that begins replaces the one before.

    Args:
        job: the engine that has the states.
        position: position of the entity in the plan.
        keys_max: how many changed keys the engine keeps.
        write_keys_max: most keys of one write to Redis.

    Attributes:
        keys: how many keys the task has given since the beginning.
        slices: in how many slices.
    """

    def __init__(self, job: Job, position: int, *, keys_max: int, write_keys_max: int) -> None:
        self._job = job
        self._position = position
        self._write_max = write_keys_max
        self._slice_max = max(1, min(SLICE_KEYS_MAX, keys_max // 4))
        self._waiting_max = max(1, min(WAITING_KEYS_MAX, keys_max // 2))
        self._lock = threading.Lock()
        self._begun = 0
        self._given_of = 0
        self._is_given = True
        self._left = 0
        self._dropped_before = 0
        self.keys = 0
        self.slices = 0

    def begin(self) -> None:
        """Begin, again if one is under way; the writer's thread calls it.

        The live states, those of the recently used keys, are written first.
        """
        with self._lock:
            self._begun += 1
            self._is_given = False
            self._left = 0
            self.keys = self.slices = 0
        self._job.mark_all(self._position)

    def written(self, keys: int) -> None:
        """Note that Redis has confirmed so many keys, the longest waiting ones."""
        with self._lock:
            self._left = max(0, self._left - keys)

    @property
    def is_done(self) -> bool:
        """Whether all keys of the newest rewrite are in Redis; True before the first."""
        with self._lock:
            is_empty = not self._job.changed_len(self._position)
            return self._is_given and (not self._left or is_empty)

    @property
    def has_missed_keys(self) -> bool:
        """Whether changed keys were dropped since its first slice, because too many waited."""
        return self._job.dropped_total(self._position) > self._dropped_before

    def wish(self) -> bytes:
        """Give what the task has to read: entity, `START`, `NEXT` or `WAIT`, and most keys.

        Empty if it has to read nothing. The task's thread calls it.
        """
        with self._lock:
            if self._is_given:
                return b""
            kind = NEXT if self._given_of == self._begun else START
            if self._job.changed_len(self._position) >= self._waiting_max:
                kind = WAIT
            elif kind == START:
                self._given_of = self._begun
                self._dropped_before = self._job.dropped_total(self._position)
            return _WISH.pack(self._position, kind, self._slice_max)

    def take(self, stored: bytes, *, is_end: bool) -> None:
        """Take a slice, as the engine's ``mark_journals`` reads it; the task's thread calls it.

        Args:
            stored: keys and their journals.
            is_end: whether it is the last slice.

        Raises:
            ValueError: more keys than were wanted, or bytes that are no slice.
            StateBytesError: a journal has another format or other definitions.
        """
        keys = self._job.mark_journals(self._position, stored)
        if keys > self._slice_max:
            raise ValueError(f"a slice of {keys} keys, {self._slice_max} were wanted")
        with self._lock:
            if self._given_of != self._begun:
                return
            self.keys += keys
            self.slices += 1
            if is_end:
                self._is_given = True
                # A write under way was taken before the slice, and is counted as well.
                self._left = self._job.changed_len(self._position) + self._write_max
