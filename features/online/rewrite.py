"""The marker of the online states in Redis, and the progress of a rewrite of all of them.

A Redis that was emptied has no marker. A writer of the velocity job that finds it missing or
changed writes all states again. Two keys, not part of Feast's layout. Pure; the velocity job
writes them, the command line reads them and sets another marker.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

BY_HAND: Final = "by-hand"
"""What the marker begins with if `weir online rebuild` set it."""


def marker_key(project: str) -> bytes:
    """Give the key of the marker; its value is any text that no earlier marker had.

    Examples:
        >>> marker_key("weir")
        b'weir:online:weir'
    """
    return f"weir:online:{project}".encode()


def progress_key(project: str) -> bytes:
    """Give the key of the hash with the newest rewrite of each writer.

    Examples:
        >>> progress_key("weir")
        b'weir:online-rewrites:weir'
    """
    return f"weir:online-rewrites:{project}".encode()


def progress_field(entity: str, subtask: int) -> bytes:
    """Give a writer's field in the hash: it writes the entities whose keys a subtask owns.

    Examples:
        >>> progress_field("user", 0)
        b'user/0'
    """
    return f"{entity}/{subtask}".encode()


@dataclass(frozen=True, slots=True)
class RewriteProgress:
    """The newest rewrite of one writer.

    Attributes:
        marker: the marker that it answers.
        reason: why all states are written again; completes a sentence.
        keys: how many stored keys it has taken so far.
        slices: in how many slices.
        is_done: whether all of them are in Redis.
    """

    marker: str
    reason: str
    keys: int
    slices: int
    is_done: bool

    def encode(self) -> bytes:
        """Give the value of the field, JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, value: bytes) -> RewriteProgress:
        """Read the value of a field.

        Raises:
            ValueError: it is not as `encode` writes it.

        Examples:
            >>> done = RewriteProgress("m", "a test", keys=2, slices=1, is_done=True)
            >>> RewriteProgress.decode(done.encode()) == done
            True
        """
        try:
            return cls(**json.loads(value))
        except TypeError as error:
            raise ValueError(f"no progress of a rewrite: {value!r:.200}") from error
