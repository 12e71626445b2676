from collections import Counter, deque
from collections.abc import Callable

import pytest

from infra.simulation.event import Event
from infra.simulation.gate import STALLED_MS_MAX, Gate, StalledError
from infra.simulation.replay import SLICE_MS, Pace, Progress, replay
from schemas.topics import LABELS, TRANSACTIONS

T0_MS = 1_522_540_800_000
PARTITIONS = 2


class FakeClock:
    """Time passes only in `sleep`, which also calls `while_asleep`."""

    def __init__(self) -> None:
        self.time_ms = T0_MS
        self.while_asleep: Callable[[], None] = lambda: None
        self.is_stopped = False

    def now_ms(self) -> int:
        return int(self.time_ms)

    def wait_until(self, due_ms: float) -> bool:
        return self.sleep(due_ms - self.time_ms)

    def sleep(self, duration_ms: float) -> bool:
        if duration_ms > 0:
            self.time_ms += duration_ms
            self.while_asleep()
        return not self.is_stopped


class FakeSystem:
    """A writer and the feature log behind it: transactions wait until `answer` is called."""

    def __init__(self, clock: FakeClock, *, answers_per_sleep: int = 0) -> None:
        self.log: list[tuple[Event, int]] = []
        self.flushed = 0
        self.waiting: deque[Event] = deque()
        self.waiting_max = 0
        self.drift_ms_max = 0
        self.counts: Counter[int] = Counter()
        self._clock = clock
        clock.while_asleep = lambda: self.answer(answers_per_sleep)

    def write(self, event: Event, *, timestamp_ms: int) -> None:
        self.log.append((event, timestamp_ms))
        if event.topic == TRANSACTIONS:
            self.waiting.append(event)
            self.waiting_max = max(self.waiting_max, len(self.waiting))
            self.drift_ms_max = max(self.drift_ms_max, event.due_ms - self.waiting[0].due_ms)

    def flush(self) -> None:
        self.flushed = len(self.log)

    def answer(self, count: int) -> None:
        for _ in range(min(count, len(self.waiting))):
            self.counts[partition_of(self.waiting.popleft().key)] += 1

    def answered(self) -> dict[int, int]:
        return {partition: self.counts[partition] for partition in range(PARTITIONS)}


def partition_of(key: bytes) -> int:
    return key[-1] % PARTITIONS


def transaction(number: int, *, due_ms: int) -> Event:
    key = b"u%d" % number
    return Event(due_ms, TRANSACTIONS, f"t-{number}", key, b"{}", is_replay=True)


def label(number: int, *, due_ms: int) -> Event:
    return Event(due_ms, LABELS, f"l-{number}", b"m", b"{}", is_replay=True)


def run(
    events: list[Event],
    *,
    answers_per_sleep: int = 3,
    in_flight_max: int = 10,
    drift_ms_max: int = 10**12,
    speed: float | None = None,
) -> tuple[FakeSystem, FakeClock, Progress]:
    clock = FakeClock()
    system = FakeSystem(clock, answers_per_sleep=answers_per_sleep)
    gate = Gate(
        log=system,
        clock=clock,
        partition_of=partition_of,
        in_flight_max=in_flight_max,
        drift_ms_max=drift_ms_max,
    )
    pace = Pace(clock=clock, speed=speed)
    done = replay(events, writer=system, gate=gate, pace=pace, clock=clock)
    return system, clock, done


def test_no_more_transactions_are_under_way_than_allowed_and_all_are_answered() -> None:
    events = [transaction(number, due_ms=T0_MS + number) for number in range(100)]
    system, _, done = run(events, in_flight_max=10)
    assert system.waiting_max == 10
    assert not system.waiting
    assert done == Progress(transactions=100, labels=0, in_flight=done.in_flight,
                            event_time_ms=T0_MS + 99)  # fmt: skip
    assert [event for event, _ in system.log] == events


def test_the_newest_transaction_is_never_further_ahead_of_the_oldest_unanswered_than_allowed() -> (
    None
):
    events = [transaction(number, due_ms=T0_MS + number * 60_000) for number in range(200)]
    system, _, _ = run(events, in_flight_max=10_000, drift_ms_max=600_000)
    assert system.drift_ms_max == 600_000


def test_the_partition_that_lags_decides_how_far_ahead_the_others_may_be() -> None:
    clock = FakeClock()
    system = FakeSystem(clock)
    # Partition 1 never answers its first transaction; partition 0 answers at once.
    gate = Gate(log=system, clock=clock, partition_of=partition_of, drift_ms_max=600_000)
    assert gate.enter(transaction(1, due_ms=T0_MS))
    for step in range(1, 11):
        assert gate.enter(transaction(2, due_ms=T0_MS + step * 60_000))
        system.counts[0] += 1
    with pytest.raises(StalledError):
        gate.enter(transaction(2, due_ms=T0_MS + 660_000))


def test_labels_of_a_slice_are_acknowledged_before_its_first_transaction() -> None:
    system_log: list[str] = []

    class Recording(FakeSystem):
        def write(self, event: Event, *, timestamp_ms: int) -> None:
            super().write(event, timestamp_ms=timestamp_ms)
            system_log.append(event.event_id)

        def flush(self) -> None:
            super().flush()
            system_log.append("flush")

    clock = FakeClock()
    system = Recording(clock, answers_per_sleep=10)
    gate = Gate(log=system, clock=clock, partition_of=partition_of)
    events = [
        transaction(1, due_ms=T0_MS),
        label(1, due_ms=T0_MS + 10),
        transaction(2, due_ms=T0_MS + 10),
        label(2, due_ms=T0_MS + SLICE_MS),
        transaction(3, due_ms=T0_MS + SLICE_MS + 5),
    ]
    replay(events, writer=system, gate=gate, pace=Pace(clock=clock, speed=None), clock=clock)
    assert system_log == ["l-1", "flush", "t-1", "t-2", "l-2", "flush", "t-3", "flush"]


def test_a_paced_replay_sends_each_event_at_its_time_divided_by_the_speed() -> None:
    events = [
        transaction(1, due_ms=T0_MS),
        label(1, due_ms=T0_MS + 30_000),
        transaction(2, due_ms=T0_MS + 60_000),
    ]
    system, _, _ = run(events, speed=60.0)
    assert [timestamp_ms - T0_MS for _, timestamp_ms in system.log] == [0, 500, 1_000]


def test_a_feature_log_that_stands_still_is_an_error_that_says_what_to_do() -> None:
    events = [transaction(number, due_ms=T0_MS) for number in range(11)]
    with pytest.raises(StalledError, match=r"velocity job does not answer.*weir doctor"):
        run(events, answers_per_sleep=0)


def test_a_slow_feature_log_is_no_error_as_long_as_it_moves() -> None:
    events = [transaction(number, due_ms=T0_MS + number) for number in range(30)]
    clock = FakeClock()
    system = FakeSystem(clock)
    slept = 0

    def now_and_then() -> None:
        nonlocal slept
        slept += 1
        # One answer just before the patience ends.
        if slept % (STALLED_MS_MAX // 20 - 1) == 0:
            system.answer(1)

    clock.while_asleep = now_and_then
    gate = Gate(log=system, clock=clock, partition_of=partition_of, in_flight_max=5)
    pace = Pace(clock=clock, speed=None)
    done = replay(events, writer=system, gate=gate, pace=pace, clock=clock)
    assert done.transactions == 30
    assert clock.time_ms - T0_MS > 20 * (STALLED_MS_MAX - 20)


def test_a_stopped_clock_ends_the_replay_and_what_was_sent_is_flushed() -> None:
    clock = FakeClock()
    system = FakeSystem(clock)
    gate = Gate(log=system, clock=clock, partition_of=partition_of, in_flight_max=3)

    def stop() -> None:
        clock.is_stopped = True

    clock.while_asleep = stop
    events = [transaction(number, due_ms=T0_MS) for number in range(10)]
    pace = Pace(clock=clock, speed=None)
    done = replay(events, writer=system, gate=gate, pace=pace, clock=clock)
    assert done.transactions == 3
    assert system.flushed == len(system.log) == 3


def test_rows_repeated_after_a_failure_do_not_make_the_count_negative() -> None:
    clock = FakeClock()
    system = FakeSystem(clock)
    gate = Gate(log=system, clock=clock, partition_of=partition_of)
    gate.enter(transaction(2, due_ms=T0_MS))
    system.counts[0] += 5
    assert gate.drain()
    assert gate.in_flight == 0
