"""Estimates of a policy that never decided: right in the mean, honest intervals, clear refusals."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from operations.rollouts.statistics.off_policy import Estimate, doubly_robust, ips, snips

# Three contexts, two actions; the mean loss of each.
LOSS = np.array([[0.1, 0.5], [0.4, 0.2], [0.3, 0.3]])
LOGGED = np.array([[0.8, 0.2], [0.5, 0.5], [0.3, 0.7]])
TARGET = np.array([[0.1, 0.9], [0.2, 0.8], [1.0, 0.0]])
TRUE = float((TARGET * LOSS).sum(axis=1).mean())


def logged(events: int, seed: int) -> dict[str, Any]:
    """Decisions of the logged policy, with a model of the loss that is off by 0.1."""
    random = np.random.default_rng(seed)
    context = random.integers(0, 3, events)
    action = (random.random(events) < LOGGED[context, 1]).astype(int)
    model = LOSS + 0.1
    return {
        "losses": (random.random(events) < LOSS[context, action]).astype(float),
        "logged": LOGGED[context, action],
        "target": TARGET[context, action],
        "predicted": model[context, action],
        "predicted_target": (TARGET * model).sum(axis=1)[context],
    }


def estimates(rows: dict[str, Any]) -> dict[str, Estimate]:
    basic = (rows["losses"], rows["logged"], rows["target"])
    models = {name: rows[name] for name in ("predicted", "predicted_target")}
    return {"ips": ips(*basic), "snips": snips(*basic), "dr": doubly_robust(*basic, **models)}


def test_each_is_right_in_the_mean_and_its_interval_holds_the_truth() -> None:
    held = dict.fromkeys(("ips", "snips", "dr"), 0)
    values: dict[str, list[float]] = {name: [] for name in held}
    for seed in range(300):
        for name, found in estimates(logged(800, seed)).items():
            held[name] += found.low <= TRUE <= found.high
            values[name].append(found.value)
    for name, each in values.items():
        assert np.mean(each) == pytest.approx(TRUE, abs=0.006), name
        assert 0.92 <= held[name] / 300 <= 0.98, name


def test_a_policy_that_is_the_logged_one_has_the_mean_loss_and_every_event_counts() -> None:
    rows = logged(500, 1)
    for estimate in (ips, snips):
        found = estimate(rows["losses"], rows["logged"], rows["logged"])
        assert found.value == pytest.approx(rows["losses"].mean())
        assert found.effective_events == pytest.approx(500)
        assert found.largest_weight == 1.0
        assert found.events == 500


def test_a_good_model_makes_the_interval_narrow() -> None:
    rows = logged(2_000, 2)
    found = estimates(rows)
    assert found["dr"].high - found["dr"].low < found["ips"].high - found["ips"].low


def test_few_decisions_that_carry_all_show() -> None:
    probability = np.array([0.01, *[0.99] * 99])
    found = ips(np.ones(100), probability, np.ones(100))
    assert found.effective_events < 5
    assert found.largest_weight == pytest.approx(100.0)


@pytest.mark.parametrize("estimate", [ips, snips])
@pytest.mark.parametrize(
    ("losses", "logged_p", "target_p", "said"),
    [
        ([], [], [], "no logged decisions"),
        ([0.0], [0.0], [1.0], "not above 0"),
        ([0.0], [1.1], [1.0], "at most 1"),
        ([0.0], [float("nan")], [1.0], "not above 0"),
        ([0.0], [0.5], [-0.1], "not within 0 and 1"),
        ([0.0, 1.0], [0.5], [0.5], "one for each decision"),
    ],
)
def test_what_cannot_be_weighted_is_refused(
    estimate: Callable[..., Estimate],
    losses: list[float],
    logged_p: list[float],
    target_p: list[float],
    said: str,
) -> None:
    with pytest.raises(ValueError, match=said):
        estimate(np.array(losses), np.array(logged_p), np.array(target_p))


def test_snips_of_a_policy_that_decided_nothing_of_it_is_refused_and_dr_without_predictions() -> (
    None
):
    one = np.ones(1)
    with pytest.raises(ValueError, match="takes none"):
        snips(one, one, np.zeros(1))
    with pytest.raises(ValueError, match="predictions"):
        doubly_robust(one, one, one, predicted=one, predicted_target=np.ones(2))
