"""One run of live traffic through a running system: sent, watched, drained.

The traffic is open loop in a thread of its own; the caller's thread waits, tells what it sees, and
ends the run. Called by `infra.demo`.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from infra.simulation.clock import Clock, WallClock
from infra.simulation.event import Event
from infra.simulation.pump import pump
from infra.simulation.run_tracker import RunTracker
from infra.simulation.run_watch import RunWatch
from infra.simulation.writer import KafkaEventWriter
from schemas.errors import RetryableError

WARM_UP_MS: Final = 30_000
"""Traffic before anything is measured: at 200/s the JVMs take that long to compile the code of
small fetches, which a backlog with its few large fetches seldom runs."""
SERVING_MS_MAX: Final = 180_000
"""How long the scorer may take to catch up and to decide by the champion; the promise is 10 s."""
DRAIN_MS_MAX: Final = 30_000
_LINGER_MS: Final = 5
"""Linger of the producer, ms: the default of Kafka's clients. It is part of the latency."""
_TICK_MS: Final = 250

Show = Callable[[str], None]


class NotServedError(RetryableError):
    """The scorer does not decide, or not by the champion."""


class Traffic:
    """The events of a run on their way to Kafka, in a thread.

    Args:
        events: by due time, without end.
        bootstrap: Kafka's address.
        on_sent: called in the thread before each event is sent.
    """

    def __init__(
        self, events: Iterator[Event], *, bootstrap: str, on_sent: Callable[[Event], None]
    ) -> None:
        self._events = events
        self._writer = KafkaEventWriter(bootstrap, linger_ms=_LINGER_MS)
        self._on_sent = on_sent
        self._clock = WallClock()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more, and wait until what was sent is acknowledged."""
        self._clock.stop()
        self._thread.join()

    def check(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            pump(self._events, writer=self._writer, clock=self._clock, on_sent=self._on_sent)
        except BaseException as error:  # noqa: BLE001 - `check` raises it where it is waited for
            self._failure = error


@dataclass(frozen=True, slots=True)
class LiveRun:
    """The parameters of a run.

    Attributes:
        tracker: told what happens; holds the sums afterwards.
        bootstrap: Kafka's address.
        version: model version that must decide.
        duration_ms: measured time; None is until the clock is stopped.
        warm_up_ms: traffic before it, at least.
    """

    tracker: RunTracker
    bootstrap: str
    version: str
    duration_ms: int | None
    warm_up_ms: int = WARM_UP_MS

    def go(self, events: Iterator[Event], *, clock: Clock, show: Show) -> None:
        """Send, warm up, measure, drain.

        Args:
            events: live traffic, without end.
            clock: its stop ends the run.
            show: called several times a second with the phase in words.

        Raises:
            NotServedError: no decision by the champion within `SERVING_MS_MAX`, or within the
                warm-up if that is longer.
            DeliveryError: Kafka did not take an event.
            KafkaUnreachableError: Kafka has gone.
        """
        with RunWatch(self.bootstrap, self.tracker) as watch:
            traffic = Traffic(events, bootstrap=self.bootstrap, on_sent=self._note)
            traffic.start()

            def tick(phase: str) -> None:
                watch.check()
                traffic.check()
                show(phase)

            try:
                if self._warm_up(clock, tick):
                    self._measure(clock, tick)
            finally:
                traffic.stop()
            traffic.check()
            self._drain(tick)

    def _note(self, event: Event) -> None:
        if event.is_transaction:
            self.tracker.produced(event.event_id, due_ms=event.due_ms)

    def _warm_up(self, clock: Clock, tick: Show) -> bool:
        """Wait until the system keeps up and decides by the champion; False when stopped."""
        began_ms = clock.now_ms()
        while clock.sleep(_TICK_MS):
            tick("warming up, not measured")
            waited_ms = clock.now_ms() - began_ms
            is_serving = self.tracker.model_version == self.version
            if waited_ms >= self.warm_up_ms and is_serving and self._keeps_up():
                self.tracker.measure_from(clock.now_ms())
                return True
            if waited_ms >= max(SERVING_MS_MAX, self.warm_up_ms):
                raise NotServedError(
                    f"after {waited_ms // 1_000} s {self.tracker.undecided} transactions wait "
                    f"and model version {self.tracker.model_version} decides, expected "
                    f"{self.version}; see `weir status` and `weir logs scorer`"
                )
        return False

    def _keeps_up(self) -> bool:
        """Whether fewer transactions wait than a tenth of those sent, but for a handful."""
        return self.tracker.undecided <= 10 + self.tracker.snapshot().produced // 10

    def _measure(self, clock: Clock, tick: Show) -> None:
        began_ms = clock.now_ms()
        while clock.sleep(_TICK_MS):
            tick("measuring")
            if self.duration_ms is not None and clock.now_ms() - began_ms >= self.duration_ms:
                return

    def _drain(self, tick: Show) -> None:
        """Wait for the last answers; what has none by then is lost."""
        clock = WallClock()
        until_ms = clock.now_ms() + DRAIN_MS_MAX
        while self.tracker.undecided or self.tracker.unfeatured:
            tick("waiting for the last decisions")
            if clock.now_ms() >= until_ms:
                return
            clock.sleep(_TICK_MS)
