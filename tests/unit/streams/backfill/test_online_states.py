"""States reach the sink in batches, and each of them once."""

from typing import Any

from features.engine.state import UserState
from streams.backfill.online_states import OnlineStates


class Sink:
    """Remembers the keys of each write."""

    def __init__(self) -> None:
        self.writes: list[list[str]] = []

    def write_now(self, states: dict[str, UserState]) -> None:
        self.writes.append(list(states))


def test_full_batches_are_written_at_once_and_the_rest_by_flush() -> None:
    sink: Any = Sink()
    online = OnlineStates(sink)
    keys = [f"u-{number}" for number in range(600)]
    for key in keys:
        online.add(key, UserState())
    assert [len(write) for write in sink.writes] == [256, 256]
    online.flush()
    online.flush()
    assert [key for write in sink.writes for key in write] == keys
