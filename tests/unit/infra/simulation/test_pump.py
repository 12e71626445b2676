from infra.simulation.event import Event
from infra.simulation.pump import pump
from schemas.topics import LABELS, TRANSACTIONS


class Recorder:
    def __init__(self, clock: "SlowClock") -> None:
        self.sent: list[tuple[str, int, int]] = []
        self.is_flushed = False
        self._clock = clock

    def write(self, event: Event, *, timestamp_ms: int) -> None:
        self.sent.append((event.event_id, timestamp_ms, self._clock.now_ms()))
        self._clock.time_ms += 7  # Sending takes longer than the events are apart.

    def flush(self) -> None:
        self.is_flushed = True


class SlowClock:
    time_ms = 1_000
    stops_at_ms = 10**15

    def now_ms(self) -> int:
        return self.time_ms

    def wait_until(self, due_ms: float) -> bool:
        self.time_ms = max(self.time_ms, int(due_ms))
        return self.time_ms < self.stops_at_ms

    def sleep(self, duration_ms: float) -> bool:
        return self.wait_until(self.time_ms + duration_ms)


def event(due_ms: int, topic: str = TRANSACTIONS) -> Event:
    return Event(due_ms, topic, f"{topic}-{due_ms}", b"k", b"{}", is_replay=False)


def test_a_late_pump_keeps_the_due_times_so_that_lateness_counts_as_latency() -> None:
    clock = SlowClock()
    recorder = Recorder(clock)
    seen: list[Event] = []
    events = [event(2_000), event(2_005), event(2_010)]
    pump(events, writer=recorder, clock=clock, on_sent=seen.append)
    assert [due_ms for _, due_ms, _ in recorder.sent] == [2_000, 2_005, 2_010]
    assert [now_ms for _, _, now_ms in recorder.sent] == [2_000, 2_007, 2_014]
    assert seen == events
    assert recorder.is_flushed


def test_a_label_carries_the_time_it_was_sent() -> None:
    clock = SlowClock()
    clock.time_ms = 9_000
    recorder = Recorder(clock)
    pump([event(500, LABELS)], writer=recorder, clock=clock)
    assert recorder.sent == [(f"{LABELS}-500", 9_000, 9_000)]


def test_a_stopped_clock_ends_the_traffic_and_flushes() -> None:
    clock = SlowClock()
    clock.stops_at_ms = 2_004
    recorder = Recorder(clock)
    pump([event(2_000), event(2_005)], writer=recorder, clock=clock)
    assert [event_id for event_id, _, _ in recorder.sent] == [f"{TRANSACTIONS}-2000"]
    assert recorder.is_flushed
