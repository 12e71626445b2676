"""The comparison of two arms: right in the mean, seldom wrong, soon right, and cut as one likes."""

import math
from itertools import pairwise

import numpy as np
import pytest

from operations.rollouts.statistics.design_effect import CLUSTERS, DesignEffect, cluster_of
from operations.rollouts.statistics.difference_guard import DifferenceGuard
from operations.rollouts.statistics.terms import ComparedLosses
from tests.rollout_events import draws, mature_batch

BETS = ((0.15, 0.5), (0.25, 0.5))


def loss_guard(tolerance: float = 0.0) -> DifferenceGuard:
    return DifferenceGuard(1, tolerance=tolerance, bets=BETS, is_relative=True)


def updated(guard: DifferenceGuard, batch, *cuts: int) -> DifferenceGuard:  # type: ignore[no-untyped-def]
    edges = [0, *cuts, len(batch)]
    for begin, end in pairwise(edges):
        part = batch.part(begin, end)
        guard.update(part.loss[np.newaxis, :], part.arm == 1, part.shares[1], part.cluster)
    return guard


def test_terms_of_a_ramp_add_up_to_the_difference_although_the_losses_rise_with_it() -> None:
    # Both arms lose 0.1 at a share of 5 % and 0.6 at 50 %. Pooled, the challenger would look bad.
    random = np.random.default_rng(1)
    compared, total, weight, pooled = ComparedLosses(1), 0.0, 0.0, []
    for p, rate in ((0.05, 0.1), (0.5, 0.6)):
        arm, shares, _ = draws(200_000, p=p, seed=int(100 * p))
        loss = (random.random(200_000) < rate).astype(float)
        terms = compared.update(loss[np.newaxis, :], arm == 1, shares[1])
        total, weight = total + terms.z.sum(), weight + terms.weight.sum()
        pooled.append((arm, loss))
    arm, loss = (np.concatenate(each) for each in zip(*pooled, strict=True))
    assert abs(total / weight) < 0.006
    assert loss[arm == 1].mean() - loss[arm == 0].mean() > 0.2


def test_the_result_has_the_same_bits_however_the_log_is_cut() -> None:
    batch = mature_batch(3_000, rates=(0.05, 0.08))
    whole = updated(loss_guard(), batch)
    pieces = updated(loss_guard(), batch, 1, 2, 700, 701, 2_999)
    assert whole.to_json() == pieces.to_json()


def test_one_by_one_is_the_same_as_at_once_and_the_maximum_is_that_after_any_event() -> None:
    batch = mature_batch(400, rates=(0.2, 0.5))
    single, most = loss_guard(), 0.0
    for index in range(len(batch)):
        updated(single, batch.part(index, index + 1))
        most = max(most, float(single._mixture.log_e[0]))
    whole = updated(loss_guard(), batch)
    assert whole.to_json() == single.to_json()
    assert float(whole._mixture.log_e_max[0]) == most


def test_the_bound_on_a_bet_holds_for_any_losses_and_shares() -> None:
    random = np.random.default_rng(4)
    guard = DifferenceGuard(1, tolerance=0.3, bets=((50.0, 1.0),), is_two_sided=True)
    for p in (1e-4, 0.02, 0.5, 0.98, 1 - 1e-4):
        loss = random.integers(0, 2, 500).astype(float)
        arm, clusters = random.random(500) < 0.5, np.zeros(500, dtype=int)
        guard.update(loss[np.newaxis, :], arm, np.full(500, p), clusters)
        assert np.isfinite(guard.log_e).all()


def test_equal_arms_are_seldom_rejected_on_a_ramp_and_a_harm_is_found() -> None:
    rejected = 0
    for seed in range(200):
        guard = loss_guard()
        for p in (0.05, 0.3):
            updated(guard, mature_batch(1_000, p=p, seed=1_000 * seed + int(100 * p)))
        rejected += guard.log_e_max[0] >= math.log(20)
    assert rejected <= 10
    harmed = updated(loss_guard(), mature_batch(30_000, rates=(0.05, 0.065)))
    assert harmed.log_e_max[0] > math.log(20)


def test_a_tolerated_difference_is_not_rejected_and_a_decrease_only_if_two_sided() -> None:
    batch = mature_batch(30_000, rates=(0.05, 0.065))
    assert updated(loss_guard(0.05), batch).log_e_max[0] < 1.0
    fewer = mature_batch(30_000, rates=(0.08, 0.05))
    assert updated(loss_guard(), fewer).log_e_max[0] < 1.0
    two_sided = DifferenceGuard(1, tolerance=0.0, bets=((0.02, 1.0),), is_two_sided=True)
    updated(two_sided, fewer)
    assert two_sided.log_e_max[0] < 1.0
    assert two_sided.log_e_max[1] > math.log(20)


def test_users_whose_events_are_alike_weaken_the_evidence() -> None:
    random = np.random.default_rng(5)
    users = 300
    arm_of_user, habit = random.random(users) < 0.5, random.random(users) < 0.1
    user = random.integers(0, users, 20_000)
    cluster = np.array([cluster_of(f"u-{number}") for number in range(users)])
    loss = (habit[user] & (random.random(20_000) < 0.9)).astype(float)
    guard = loss_guard()
    guard.update(loss[np.newaxis, :], arm_of_user[user], np.full(20_000, 0.5), cluster[user])
    # Every user has about 67 events, which mostly repeat each other.
    assert 30 < guard.design_effects[0] < 90
    assert guard.log_e_max[0] < math.log(20)


def test_without_likeness_the_design_effect_is_about_one() -> None:
    effect = DesignEffect(2, 64)
    assert effect.values().tolist() == [1.0, 1.0]
    random = np.random.default_rng(6)
    effect.update(random.integers(0, CLUSTERS, 50_000), random.normal(size=(2, 50_000)))
    assert effect.values() == pytest.approx([1.0, 1.0], abs=0.5)


def test_the_state_comes_back_with_every_bit() -> None:
    batch = mature_batch(2_000)
    guard, other = updated(loss_guard(), batch.part(0, 900)), loss_guard()
    other.restore(guard.to_json())
    rest = batch.part(900, 2_000)
    assert updated(guard, rest).to_json() == updated(other, rest).to_json()
