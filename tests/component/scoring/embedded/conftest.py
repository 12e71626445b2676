"""Closes the event loops that the handlers of Lambda open and leave open, as their process ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def event_loops_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    opened: list[asyncio.AbstractEventLoop] = []
    make = asyncio.new_event_loop

    def make_and_note() -> asyncio.AbstractEventLoop:
        opened.append(make())
        return opened[-1]

    monkeypatch.setattr(asyncio, "new_event_loop", make_and_note)
    yield
    for loop in opened:
        if not loop.is_closed():
            loop.close()
            asyncio.set_event_loop(None)
