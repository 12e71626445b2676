"""Sums after each event, whole or in pieces."""

import numpy as np

from operations.rollouts.statistics.running import running_sums, sums_within_clusters


def test_sums_have_the_same_bits_however_the_values_are_cut() -> None:
    values = np.random.default_rng(1).normal(size=(2, 1_000))
    whole = running_sums(np.zeros(2), values)
    first = running_sums(np.zeros(2), values[:, :313])
    second = running_sums(first[:, -1], values[:, 313:])
    assert np.array_equal(whole, np.concatenate([first, second[:, 1:]], axis=1))


def test_each_event_gets_the_sum_of_its_own_cluster_before_it() -> None:
    random = np.random.default_rng(2)
    clusters, values = random.integers(0, 5, 200), random.normal(size=200)
    sums = np.arange(5.0)
    before, end = sums_within_clusters(sums, clusters, values)
    assert sums.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    for index, (cluster, value) in enumerate(zip(clusters, values, strict=True)):
        assert abs(before[index] - sums[cluster]) < 1e-12
        sums[cluster] += value
    assert np.array_equal(end, sums)


def test_no_events_change_nothing() -> None:
    before, end = sums_within_clusters(np.ones(3), np.array([], dtype=int), np.array([]))
    assert before.tolist() == []
    assert end.tolist() == [1.0, 1.0, 1.0]
