import pytest

from training.fitting.evaluate import Comparison, Evaluation, Interval
from training.fitting.verdict import (
    judge_challenger,
    judge_without_baseline,
    not_by_time,
    only_as_challenger,
)

EDGE = 0.0


def evaluation(low: float, *, frauds: int = 10) -> Evaluation:
    return Evaluation(rows=100, frauds=frauds, figures={"auc": Interval(0.6, low, 0.7)})


def comparison(low: float) -> Comparison:
    return Comparison(
        rows=100,
        frauds=20,
        challenger={"average_precision": 0.42},
        champion={"average_precision": 0.40},
        difference={"average_precision": Interval(0.02, low, 0.05)},
    )


@pytest.mark.parametrize(("low", "promotes"), [(0.499, False), (0.5, False), (0.501, True)])
def test_the_first_must_be_better_than_guessing(low: float, promotes: bool) -> None:
    verdict = judge_without_baseline(evaluation(low), no_baseline="there is no champion yet")
    assert verdict.promotes is promotes
    assert ("there is no champion yet" in verdict.reason) is promotes
    assert "auc 0.6000" in verdict.reason


@pytest.mark.parametrize("shown", [None, evaluation(0.0, frauds=9)])
def test_a_first_one_that_cannot_be_judged_decides_rather_than_nobody(
    shown: Evaluation | None,
) -> None:
    verdict = judge_without_baseline(shown, no_baseline="there is no champion yet")
    assert verdict.promotes
    assert "fewer than 10 positives" in verdict.reason


@pytest.mark.parametrize(("low", "promotes"), [(-0.001, False), (EDGE, False), (0.001, True)])
def test_a_challenger_must_be_better_by_more_than_noise(low: float, promotes: bool) -> None:
    verdict = judge_challenger(comparison(low), champion="3", positives=20)
    assert verdict.promotes is promotes
    for figure in ("0.4200", "0.4000", "champion version 3", "0.0200 ["):
        assert figure in verdict.reason


def test_a_challenger_that_cannot_be_compared_waits() -> None:
    verdict = judge_challenger(None, champion="3", positives=9)
    assert not verdict.promotes
    assert "only 9 positives" in verdict.reason


def test_a_version_of_a_stratified_split_is_refused_whatever_its_figures_are() -> None:
    verdict = not_by_time(judge_challenger(comparison(0.001), champion="3", positives=20))
    assert not verdict.promotes
    assert "better by more than noise" in verdict.reason
    assert "--split time" in verdict.reason


def test_a_better_version_can_be_kept_as_a_challenger() -> None:
    better = judge_challenger(comparison(0.001), champion="3", positives=20)
    assert better.promotes
    verdict = only_as_challenger(better)
    assert not verdict.promotes
    assert better.reason in verdict.reason
    assert "asked for as a challenger" in verdict.reason
    refused = judge_challenger(comparison(-0.1), champion="3", positives=20)
    assert only_as_challenger(refused) == refused
