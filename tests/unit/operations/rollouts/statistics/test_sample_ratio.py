"""The test of the shares is that of the paper, follows changing shares, and knows users."""

import numpy as np
import pytest

from operations.rollouts.statistics.design_effect import cluster_of
from operations.rollouts.statistics.sample_ratio import SampleRatio
from tests.rollout_events import draws


@pytest.mark.parametrize(
    ("theta", "counts", "log_odds"),
    [
        # From savvi 0.3.1: Multinomial(alpha, theta, k=100) after update(counts), log of odds.
        ((0.5, 0.5), (540, 460), 1.7130937742645074),
        ((0.9, 0.1), (880, 120), 0.6403833034844979),
        ((0.2, 0.3, 0.5), (30, 20, 50), 1.3235141928097107),
    ],
)
def test_with_constant_shares_the_evidence_is_that_of_savvi(
    theta: tuple[float, ...], counts: tuple[int, ...], log_odds: float
) -> None:
    arm = np.random.default_rng(1).permutation(np.repeat(np.arange(len(theta)), counts))
    shares = np.repeat(np.array(theta)[:, np.newaxis], len(arm), axis=1)
    ratio = SampleRatio(len(theta))
    ratio.update(arm, shares, np.zeros(len(arm), dtype=int))
    assert ratio._log_e == pytest.approx(log_odds, rel=1e-9)
    assert ratio.counts == list(counts)


def test_a_ramp_whose_shares_come_out_is_no_mismatch_and_lost_decisions_are() -> None:
    fine, lossy = SampleRatio(2), SampleRatio(2)
    random = np.random.default_rng(2)
    for p in (0.05, 0.15, 0.5):
        arm, shares, clusters = draws(20_000, p=p, seed=int(100 * p))
        fine.update(arm, shares, clusters)
        kept = (arm == 0) | (random.random(len(arm)) < 0.9)
        lossy.update(arm[kept], shares[:, kept], clusters[kept])
    assert fine.p_value > 0.05
    assert lossy.p_value < 1e-6


def test_few_events_and_busy_users_are_no_mismatch() -> None:
    few = SampleRatio(2)
    few.update(np.ones(250, dtype=int), np.full((2, 250), 0.5), np.zeros(250, dtype=int))
    assert few.p_value == 1.0
    random = np.random.default_rng(3)
    users = 400
    arm_of_user = (random.random(users) < 0.55).astype(int)
    cluster = np.array([cluster_of(f"u-{number}") for number in range(users)])
    user = random.integers(0, users, 40_000)
    ratio = SampleRatio(2)
    ratio.update(arm_of_user[user], np.full((2, 40_000), 0.5), cluster[user])
    assert ratio.p_value > 0.01


def test_the_result_has_the_same_bits_however_the_log_is_cut_and_comes_back() -> None:
    arm, shares, clusters = draws(1_000, p=0.3)
    whole, pieces = SampleRatio(2), SampleRatio(2)
    whole.update(arm, shares, clusters)
    for begin, end in ((0, 1), (1, 600), (600, 600), (600, 1_000)):
        restored = SampleRatio(2)
        restored.restore(pieces.to_json())
        restored.update(arm[begin:end], shares[:, begin:end], clusters[begin:end])
        pieces = restored
    assert whole.to_json() == pieces.to_json()
