from queue import SimpleQueue

from scoring.worker.watchdog import Progress, StallDetector, Watchdog

LIMIT_MS = 1_000


def stalls(*seen: tuple[int, Progress | None, int]) -> list[bool]:
    detector = StallDetector(stall_ms_max=LIMIT_MS)
    return [
        detector.is_stalled(progress, processed=processed, now_ms=now_ms)
        for now_ms, progress, processed in seen
    ]


BEHIND = Progress(lag=5, committed=100)


def test_lag_without_progress_is_a_stall_after_the_limit() -> None:
    assert stalls((0, BEHIND, 7), (999, BEHIND, 7)) == [False, False]
    assert stalls((0, BEHIND, 7), (1_000, BEHIND, 7)) == [False, False]
    assert stalls((0, BEHIND, 7), (1_001, BEHIND, 7)) == [False, True]


def test_a_growing_lag_is_no_stall_while_rows_are_processed() -> None:
    seen = [(at * 900, Progress(lag=at * 1_000 + 1, committed=0), at) for at in range(10)]
    assert not any(stalls(*seen))


def test_a_member_without_partitions_is_not_stalled_while_others_commit() -> None:
    seen = [(at * 900, Progress(lag=5, committed=at), 0) for at in range(10)]
    assert not any(stalls(*seen))


def test_no_lag_is_no_stall_for_any_time() -> None:
    done = Progress(lag=0, committed=100)
    assert stalls((0, done, 7), (10**9, done, 7), (10**9 + 1, BEHIND, 7)) == [
        False,
        False,
        False,
    ]


def test_a_broker_that_does_not_answer_restarts_the_clock() -> None:
    assert stalls((0, BEHIND, 7), (900, None, 7), (1_001, BEHIND, 7), (2_002, BEHIND, 7)) == [
        False,
        False,
        False,
        True,
    ]


class NoLag:
    def progress(self) -> Progress | None:
        return Progress(lag=0, committed=100)


def test_a_reason_to_end_at_once_ends_without_a_stall() -> None:
    ended: SimpleQueue[str] = SimpleQueue()
    looks = iter([None, None, None, "another topic", "never asked for"])
    watchdog = Watchdog(
        NoLag(),
        processed=lambda: 0,
        on_stall=ended.put,
        clock_ms=lambda: 0.0,
        replacement=lambda: next(looks),
        check_interval_ms=1,
    )
    watchdog.start()
    assert ended.get(timeout=30) == "another topic"
    assert next(looks) == "never asked for"
