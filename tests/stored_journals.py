"""Feeds the rewrite of a writer from journals in memory, as ``OnlineRewrite.java`` does."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from streams.velocity.engine_frames import encode_batch
from streams.velocity.online_rewrite import START, WAIT, OnlineRewrite
from tests.journaled_stage import JournaledStage

_WISH = struct.Struct(">BcH")


class StoredJournals:
    """The journals of one stage, for one rewrite at a time."""

    def __init__(self, stage: JournaledStage, rewrite: OnlineRewrite) -> None:
        self.wishes: list[bytes] = []
        self._stage = stage
        self._rewrite = rewrite
        self._keys: Iterator[str] = iter(())

    def give(self) -> bool:
        """Give what is wanted now; whether something was."""
        wish = self._rewrite.wish()
        if not wish:
            return False
        entity, kind, keys_max = _WISH.unpack(wish)
        self.wishes.append(kind)
        if kind == WAIT:
            return False
        if kind == START:
            self._keys = iter([key for of, key in self._stage.journals if of == entity])
        keys = [key for _, key in zip(range(keys_max), self._keys, strict=False)]
        stored = [
            part
            for key in keys
            for part in (key.encode(), encode_batch(self._stage.journals[entity, key]))
        ]
        self._rewrite.take(encode_batch(stored), is_end=len(keys) < keys_max)
        return True
