"""The interval is that of the paper, as ville computes it, and holds at every event."""

import math
from itertools import pairwise

import numpy as np
import pytest
from ville import AsymptoticCS, normal_mixture

from operations.rollouts.statistics.confidence_sequence import DifferenceSequence, tuned_rho
from operations.rollouts.statistics.terms import ComparedLosses
from tests.rollout_events import mature_batch


def updated(batch, *cuts: int, alpha: float = 0.05) -> DifferenceSequence:  # type: ignore[no-untyped-def]
    sequence = DifferenceSequence(alpha=alpha, effect=0.2)
    edges = [0, *cuts, len(batch)]
    for begin, end in pairwise(edges):
        part = batch.part(begin, end)
        sequence.update(part.loss, part.arm == 1, part.shares[1], part.cluster)
    return sequence


def test_the_interval_is_that_of_ville_for_the_same_terms() -> None:
    batch = mature_batch(20_000, rates=(0.3, 0.33))
    sequence = updated(batch)
    interval = sequence.interval(0.05)
    assert interval is not None
    terms = ComparedLosses(1).update(batch.loss[np.newaxis, :], batch.arm == 1, batch.shares[1])
    scaled = terms.z[0] / 0.25
    ville = AsymptoticCS(alpha=0.05)
    # Ville's rho is the precision of the mixture in units of events, ours a deviation in units of
    # the variance of the sum.
    ville.rho_ = 1 / sequence._rho_square / float(np.var(terms.z[0], ddof=1))
    ville.update(scaled)
    low, high = ville.interval()
    assert interval.difference == pytest.approx(scaled.mean())
    # The variance between clusters differs from that between events by its standard error.
    wider = math.sqrt(max(sequence.design_effect, 1.0))
    assert interval.high - interval.low == pytest.approx((high - low) * wider, rel=0.02)


def test_the_boundary_is_robbins_normal_mixture() -> None:
    sequence = updated(mature_batch(5_000, rates=(0.3, 0.3)))
    interval = sequence.interval(0.1)
    assert interval is not None
    variance = sequence._current_variance()
    boundary = float(normal_mixture(variance, 0.1, 1 / sequence._rho_square))
    assert (interval.high - interval.low) / 2 == pytest.approx(boundary / sequence._weight)


def test_rho_is_near_the_one_that_makes_the_boundary_smallest() -> None:
    variance, alpha = 400.0, 0.05
    own = normal_mixture(variance, alpha, 1 / tuned_rho(variance, alpha) ** 2)
    best = min(normal_mixture(variance, alpha, rho) for rho in np.geomspace(1, 4_000, 200))
    assert own < 1.01 * best


def test_the_p_value_is_the_smallest_alpha_whose_interval_excluded_zero() -> None:
    batch = mature_batch(6_000, rates=(0.3, 0.36))
    sequence = updated(batch)
    smallest = 1.0
    single = DifferenceSequence(alpha=0.05, effect=0.2)
    for begin in range(0, 6_000, 50):
        part = batch.part(begin, begin + 50)
        single.update(part.loss, part.arm == 1, part.shares[1], part.cluster)
        smallest = min(smallest, single.p_value_worse)
    assert sequence.p_value_worse == pytest.approx(smallest, rel=1e-9)
    assert sequence.p_value_worse < 0.05 < sequence.p_value_better
    interval = single.interval(sequence.p_value_worse * 0.5)
    assert interval is not None
    assert interval.low < 0.0


def test_the_result_does_not_depend_on_the_cuts_to_1e_12() -> None:
    batch = mature_batch(4_000, rates=(0.3, 0.36))
    whole, pieces = updated(batch).to_json(), updated(batch, 1, 2, 1_500, 3_999).to_json()
    assert whole.keys() == pieces.keys()
    for name in ("sum", "weight", "squares", "cluster_squares", "largest", "log_e_max"):
        assert pieces[name] == pytest.approx(whole[name], rel=1e-12)


def test_equal_arms_have_a_winner_in_at_most_alpha_of_the_tests() -> None:
    winners = 0
    for seed in range(300):
        sequence = updated(mature_batch(3_000, seed=10 * seed))
        winners += min(sequence.p_value_better, sequence.p_value_worse) <= 0.05
    assert winners <= 15


def test_with_few_losses_there_is_no_interval_and_no_evidence() -> None:
    sequence = updated(mature_batch(100, rates=(0.0, 0.2)))
    assert sequence.interval(0.05) is None
    assert sequence.p_value_worse == 1.0
    assert DifferenceSequence(alpha=0.05, effect=0.2).interval(0.05) is None
    assert updated(mature_batch(100, rates=(0.0, 0.0))).interval(0.05) is None


def test_the_state_comes_back_with_every_bit() -> None:
    batch = mature_batch(2_000, rates=(0.3, 0.3))
    first, other = updated(batch.part(0, 800)), DifferenceSequence(alpha=0.05, effect=0.2)
    other.restore(first.to_json())
    rest = batch.part(800, 2_000)
    for each in (first, other):
        each.update(rest.loss, rest.arm == 1, rest.shares[1], rest.cluster)
    assert first.to_json() == other.to_json()
