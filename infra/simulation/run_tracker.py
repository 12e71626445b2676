"""The outcome of each transaction of one run: produced, featured, decided, how late, how often.

Bookkeeping only, safe to call from two threads: the pump tells it what is sent, `run_watch` what
arrives. Called by the demo.
"""

from __future__ import annotations

import threading
from array import array
from collections import Counter, deque
from typing import Final

from infra.simulation.arrivals import FirstArrivals, RunIds
from infra.simulation.run_summary import RunSummary, Snapshot, percentile
from schemas.decision import Decision

_SHOWN_DECISIONS: Final = 12
_RECENT_LATENCIES: Final = 2_000


class RunTracker:
    """Follows the transactions of one run by their ids, ``{run}-{number}``.

    Args:
        run: the id prefix; also an attribute.
    """

    def __init__(self, run: str) -> None:
        self.run = run
        self._lock = threading.Lock()
        self._ids = RunIds(run)
        self._features = FirstArrivals()
        self._decisions = FirstArrivals()
        self._due_ms = array("q")
        self._first_kinds = bytearray()
        self._latencies_ms = array("d")
        self._recent_ms: deque[float] = deque(maxlen=_RECENT_LATENCIES)
        self._latest: deque[tuple[Decision, float]] = deque(maxlen=_SHOWN_DECISIONS)
        self._by_kind: Counter[str] = Counter()
        self._measured_from_ms: int | None = None
        self._dead_letters = 0
        self._contradictions = 0
        self._version: str | None = None

    def measure_from(self, due_ms: int) -> None:
        """End the warm-up: transactions due from here on count for the percentiles."""
        with self._lock:
            self._measured_from_ms = due_ms

    def produced(self, transaction_id: str, *, due_ms: int) -> None:
        """Note a transaction that is about to be sent; ids count up without gaps."""
        with self._lock:
            self._ids.add(transaction_id)
            self._features.expect()
            self._decisions.expect()
            self._due_ms.append(due_ms)
            self._first_kinds.append(0)

    def featured(self, transaction_id: str) -> None:
        """Note a feature row; rows of others are ignored, repeats count once."""
        with self._lock:
            position = self._ids.position_of(transaction_id)
            if position is not None:
                self._features.note(position)

    def decided(self, decision: Decision, *, received_ms: float) -> None:
        """Note a decision and when it arrived; decisions of others are ignored."""
        with self._lock:
            position = self._ids.position_of(decision.transaction_id)
            if position is None:
                return
            kind = ord(decision.decision[0])
            if not self._decisions.note(position):
                self._contradictions += self._first_kinds[position] != kind
                return
            self._first_kinds[position] = kind
            self._by_kind[decision.decision] += 1
            self._version = decision.model.version
            self._note_latency(decision, due_ms=self._due_ms[position], received_ms=received_ms)

    def refused(self, event_id: str) -> None:
        """Note a dead letter, a transaction's or a label's; those of others are ignored."""
        with self._lock:
            self._dead_letters += self._ids.is_of_run(event_id)

    @property
    def model_version(self) -> str | None:
        """Version that made the newest decision; None before the first."""
        return self._version

    @property
    def contradictions(self) -> int:
        """Further decisions that differ from the first one of their transaction."""
        return self._contradictions

    @property
    def undecided(self) -> int:
        """Produced and not decided yet."""
        with self._lock:
            return self._decisions.missing

    @property
    def unfeatured(self) -> int:
        """Produced and not in the feature log yet."""
        with self._lock:
            return self._features.missing

    def snapshot(self) -> Snapshot:
        """The state now."""
        with self._lock:
            recent = sorted(self._recent_ms)
            return Snapshot(
                produced=self._ids.count,
                decided=self._decisions.arrived,
                by_kind=dict(self._by_kind),
                p50_ms=percentile(recent, 50.0),
                p99_ms=percentile(recent, 99.0),
                latest=list(self._latest)[::-1],
            )

    def summary(self, *, feature_mismatches: int | None) -> RunSummary:
        """The outcome; transactions that are not decided by now are lost."""
        with self._lock:
            measured = sorted(self._latencies_ms)
            return RunSummary(
                produced=self._ids.count,
                features=self._features.arrived,
                decisions=self._decisions.arrived,
                lost=self._decisions.missing,
                duplicates=self._decisions.repeats,
                dead_letters=self._dead_letters,
                p50_ms=percentile(measured, 50.0),
                p99_ms=percentile(measured, 99.0),
                feature_mismatches=feature_mismatches,
                model_version=self._version,
            )

    def _note_latency(self, decision: Decision, *, due_ms: int, received_ms: float) -> None:
        latency_ms = received_ms - due_ms
        self._recent_ms.append(latency_ms)
        self._latest.append((decision, latency_ms))
        if self._measured_from_ms is not None and due_ms >= self._measured_from_ms:
            self._latencies_ms.append(latency_ms)
