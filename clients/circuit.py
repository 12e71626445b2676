"""A circuit breaker: after failed calls in a row, a service is not called for a while.

The one of Redis (`clients.redis_guard`) and of the model registry (`clients.mlflow_rest`). It is a
few lines; the libraries circuitbreaker 2.1 and purgatory 3.0 would replace only these, cannot be
given a clock, and map no errors. Knows no service and no client library.
"""

from __future__ import annotations

from collections.abc import Callable


class CircuitBreaker:
    """Says whether a service may be called.

    When the circuit has been open for long enough, the next call is the trial: until it succeeds,
    all other calls go on failing at once. Threads may share a breaker; at worst, two of them are
    the trial.
    """

    def __init__(
        self, *, open_ms: float, clock_ms: Callable[[], float], failures_max: int = 1
    ) -> None:
        """Start with a closed circuit.

        Args:
            open_ms: how long the service is not called, ms.
            clock_ms: a clock that never goes back, ms; only differences are used.
            failures_max: how many calls must fail in a row until the circuit opens. 1 for one
                caller at a time; more where many callers would pay for one slow answer.
        """
        self.open_ms = open_ms
        self._clock_ms = clock_ms
        self._failures_max = failures_max
        self._failures = 0
        self._open_until_ms = -1.0

    @property
    def is_open(self) -> bool:
        """Whether calls fail at once."""
        return self._clock_ms() < self._open_until_ms

    def may_call(self) -> bool:
        """Say whether a call may be made now; if it is the trial, others wait for its outcome."""
        if self.is_open:
            return False
        if self._failures >= self._failures_max:
            self._open()
        return True

    def succeeded(self) -> None:
        """Close the circuit: a call has worked."""
        self._failures = 0
        self._open_until_ms = -1.0

    def failed(self) -> bool:
        """Count a failed call; gives whether the circuit is open now."""
        self._failures += 1
        if self._failures >= self._failures_max:
            self._open()
            return True
        return False

    def _open(self) -> None:
        self._open_until_ms = self._clock_ms() + self.open_ms
