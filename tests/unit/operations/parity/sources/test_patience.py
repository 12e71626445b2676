"""How long parity waits for answers that are under way."""

from operations.parity.sources.logs import PATIENCE_S, Patience


class Time:
    """A clock that only sleeping turns."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s

    def patience(self) -> Patience:
        return Patience(sleep=self.sleep, monotonic=lambda: self.now_s)


def test_nothing_to_wait_for_is_not_waited_for() -> None:
    time = Time()
    assert not time.patience().is_worth_waiting(0)
    assert time.now_s == 100.0


def test_it_ends_when_nothing_has_come_for_its_limit() -> None:
    time = Time()
    patience = time.patience()
    while patience.is_worth_waiting(3):
        pass
    assert PATIENCE_S <= time.now_s - 100.0 <= PATIENCE_S + 1


def test_each_answer_begins_the_wait_anew_and_more_questions_do_not() -> None:
    time = Time()
    patience = time.patience()
    unanswered = iter([5, 5, 4])
    for left in unanswered:
        assert patience.is_worth_waiting(left)
        time.now_s += PATIENCE_S * 0.6
    assert time.now_s > 100.0 + PATIENCE_S
    assert patience.is_worth_waiting(6)
    time.now_s += PATIENCE_S
    assert not patience.is_worth_waiting(6)
