"""A log of rollouts in memory, and versions that exist as a test says."""

from __future__ import annotations

from itertools import count

from clients.errors import KafkaUnreachableError
from schemas.errors import InvalidEventError
from schemas.field_readers import refuse
from schemas.rollout import RolloutChange
from scoring.core.errors import RolloutConflictError
from scoring.core.rollout_history import RolloutHistory
from scoring.stores.rollout_commands import RolloutCommands
from scoring.stores.rollout_log import RolloutLog
from scoring.stores.rollout_versions import RolloutVersions
from tests.builders import NOW_MS

MODEL = "weir-fraud"
CHAMPION = "7"


class MemoryRolloutLog(RolloutLog):
    """The log as `RolloutLog` reads and writes it; can be away, and can be beaten to a write."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1", source="/test")
        self.history = RolloutHistory(keeps_revisions=True)
        self.is_away = False
        self.comes_first: RolloutChange | None = None

    def read(self) -> RolloutHistory:
        if self.is_away:
            raise KafkaUnreachableError("Kafka is away")
        return self.history

    def write(self, change: RolloutChange) -> None:
        first, self.comes_first = self.comes_first, None
        if first is not None:
            self.history.apply(first)
        try:
            self.read().apply(change)
        except InvalidEventError as error:
            raise RolloutConflictError(f"the change does not count: {error}") from error


class FakeVersions(RolloutVersions):
    """Version 7 is the champion; 8 and 9 are good, others unknown."""

    def __init__(self) -> None:
        self.known = {CHAMPION, "8", "9"}

    def champion(self) -> str:
        return CHAMPION

    def check(self, version: str) -> None:
        if version not in self.known:
            refuse("version", f"is {version}: model {MODEL} has no such version")


def rollout_commands(log: RolloutLog) -> RolloutCommands:
    """The commands on a log, with ids and a clock that a test can foresee."""
    numbers = count(1)
    return RolloutCommands(
        log,
        FakeVersions(),
        model_name=MODEL,
        now_ms=lambda: NOW_MS,
        new_id=lambda: f"change-{next(numbers)}",
    )
