"""What became of each transaction of one run: produced, featured, decided, how late, how often.

Pure bookkeeping, safe to call from two threads: the pump tells what it sends, the watch what it
sees. Nine bytes a transaction, so that a run may last for hours.
"""

import json
import threading
from array import array
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Final

from schemas.decision import Decision

_SHOWN_DECISIONS: Final = 12
_RECENT_LATENCIES: Final = 2_000
_FEATURED, _DECIDED = 1, 2


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The outcome of a run, as the last line of `weir demo` prints it.

    Attributes:
        produced: transactions sent.
        features: of these, how many have a row in the feature log.
        decisions: of these, how many have a decision.
        lost: produced and without a decision when the run ended.
        duplicates: further decisions for a transaction that had one.
        dead_letters: transactions and labels of the run that were refused.
        p50_ms: median from the time a transaction was due to its decision's arrival here, ms,
            after the warm-up; null when nothing was measured.
        p99_ms: the 99th percentile of the same.
        feature_mismatches: feature values of the run that a recomputation does not give, and
            rows missing or extra; null when it was not done.
        model_version: version that made the newest decision.
    """

    produced: int
    features: int
    decisions: int
    lost: int
    duplicates: int
    dead_letters: int
    p50_ms: float | None
    p99_ms: float | None
    feature_mismatches: int | None
    model_version: str | None

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a person is shown while the run goes on.

    Attributes:
        produced: transactions sent so far.
        decided: of these, decided.
        by_kind: decisions by outcome.
        p50_ms: median latency of the newest decisions; None before the first.
        p99_ms: the 99th percentile of the same.
        latest: newest decisions with their latency in ms, newest first.
    """

    produced: int
    decided: int
    by_kind: dict[str, int]
    p50_ms: float | None
    p99_ms: float | None
    latest: list[tuple[Decision, float]]


class RunTracker:
    """Follows the transactions of one run by their ids, ``{run}-{number}``.

    Args:
        run: the id prefix; also an attribute.
    """

    def __init__(self, run: str) -> None:
        self.run = run
        self._prefix = f"{run}-"
        self._lock = threading.Lock()
        self._first: int | None = None
        self._due_ms = array("q")
        self._seen = bytearray()
        self._latencies_ms = array("d")
        self._recent_ms: deque[float] = deque(maxlen=_RECENT_LATENCIES)
        self._latest: deque[tuple[Decision, float]] = deque(maxlen=_SHOWN_DECISIONS)
        self._by_kind: Counter[str] = Counter()
        self._measured_from_ms: int | None = None
        self._features = 0
        self._decided = 0
        self._duplicates = 0
        self._dead_letters = 0
        self._contradictions = 0
        self._kinds = bytearray()
        self._version: str | None = None

    def measure_from(self, due_ms: int) -> None:
        """End the warm-up: transactions due from here on count for the percentiles."""
        with self._lock:
            self._measured_from_ms = due_ms

    def produced(self, transaction_id: str, *, due_ms: int) -> None:
        """Note a transaction that is about to be sent; ids count up without gaps."""
        with self._lock:
            if self._first is None:
                self._first = int(transaction_id.removeprefix(self._prefix))
            self._due_ms.append(due_ms)
            self._seen.append(0)
            self._kinds.append(0)

    def featured(self, transaction_id: str) -> None:
        """Note a feature row; others' are ignored, repeats count once."""
        with self._lock:
            position = self._position(transaction_id)
            if position is not None and not self._seen[position] & _FEATURED:
                self._seen[position] |= _FEATURED
                self._features += 1

    def decided(self, decision: Decision, *, received_ms: float) -> None:
        """Note a decision and when it arrived; others' are ignored."""
        with self._lock:
            position = self._position(decision.transaction_id)
            if position is None:
                return
            kind = ord(decision.decision[0])
            if self._seen[position] & _DECIDED:
                self._duplicates += 1
                self._contradictions += self._kinds[position] != kind
                return
            self._seen[position] |= _DECIDED
            self._kinds[position] = kind
            self._decided += 1
            self._by_kind[decision.decision] += 1
            self._version = decision.model.version
            self._note_latency(decision, due_ms=self._due_ms[position], received_ms=received_ms)

    def refused(self, event_id: str) -> None:
        """Note a dead letter, a transaction's or a label's; others' are ignored."""
        with self._lock:
            self._dead_letters += event_id.startswith(self._prefix)

    @property
    def model_version(self) -> str | None:
        """Version that made the newest decision; None before the first."""
        return self._version

    @property
    def contradictions(self) -> int:
        """Further decisions that decide otherwise than the first one."""
        return self._contradictions

    @property
    def undecided(self) -> int:
        """Produced and not decided yet."""
        with self._lock:
            return len(self._seen) - self._decided

    @property
    def unfeatured(self) -> int:
        """Produced and not in the feature log yet."""
        with self._lock:
            return len(self._seen) - self._features

    def snapshot(self) -> Snapshot:
        """The state now."""
        with self._lock:
            recent = sorted(self._recent_ms)
            return Snapshot(
                produced=len(self._seen),
                decided=self._decided,
                by_kind=dict(self._by_kind),
                p50_ms=percentile(recent, 50.0),
                p99_ms=percentile(recent, 99.0),
                latest=list(self._latest)[::-1],
            )

    def summary(self, *, feature_mismatches: int | None) -> RunSummary:
        """The outcome; what is not decided by now is lost."""
        with self._lock:
            measured = sorted(self._latencies_ms)
            return RunSummary(
                produced=len(self._seen),
                features=self._features,
                decisions=self._decided,
                lost=len(self._seen) - self._decided,
                duplicates=self._duplicates,
                dead_letters=self._dead_letters,
                p50_ms=percentile(measured, 50.0),
                p99_ms=percentile(measured, 99.0),
                feature_mismatches=feature_mismatches,
                model_version=self._version,
            )

    def _position(self, transaction_id: str) -> int | None:
        """Which transaction of the run it is; None for those of others."""
        if self._first is None or not transaction_id.startswith(self._prefix):
            return None
        position = int(transaction_id[len(self._prefix) :]) - self._first
        return position if 0 <= position < len(self._seen) else None

    def _note_latency(self, decision: Decision, *, due_ms: int, received_ms: float) -> None:
        latency_ms = received_ms - due_ms
        self._recent_ms.append(latency_ms)
        self._latest.append((decision, latency_ms))
        if self._measured_from_ms is not None and due_ms >= self._measured_from_ms:
            self._latencies_ms.append(latency_ms)


def percentile(ascending: list[float], percent: float) -> float | None:
    """The smallest value that at least ``percent`` of the values do not exceed; None of nothing.

    Examples:
        >>> percentile([1.0, 2.0, 3.0, 4.0], 50.0)
        2.0
        >>> percentile([1.0, 2.0, 3.0, 4.0], 99.0)
        4.0
    """
    if not ascending:
        return None
    rank = -(-len(ascending) * percent // 100.0)
    return round(ascending[max(0, int(rank) - 1)], 2)
