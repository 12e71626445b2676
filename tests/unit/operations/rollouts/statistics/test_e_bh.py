"""e-BH rejects what ville's rejects, and weights move evidence to where it is needed."""

import math

import numpy as np
from ville.evalues import ebh

from operations.rollouts.statistics.e_bh import rejected, rejected_alone


def test_it_rejects_what_ville_rejects() -> None:
    random = np.random.default_rng(1)
    for _ in range(200):
        log_e = random.normal(2.0, 2.5, 6)
        assert np.array_equal(rejected(log_e, np.ones(6), 0.05), ebh(np.exp(log_e), 0.05))


def test_exactly_the_limit_is_enough() -> None:
    for e, is_out in ((39.9, False), (40.1, True)):
        assert rejected(np.log([e, 1.0]), np.ones(2), 0.05).tolist() == [is_out, False]
        assert rejected_alone(np.log([e, 1.0]), np.ones(2), 0.05).tolist() == [is_out, False]


def test_a_hypothesis_of_much_weight_needs_less_evidence_and_one_of_none_is_never_rejected() -> (
    None
):
    log_e = np.array([math.log(30.0), math.log(30.0), 50.0])
    weights = np.array([2.4, 0.6, 0.0])
    assert rejected(log_e, weights, 0.05).tolist() == [True, False, False]


def test_two_of_three_need_less_than_each_alone() -> None:
    log_e = np.log([35.0, 35.0, 1.0])
    assert rejected(log_e, np.ones(3), 0.05).tolist() == [True, True, False]
    assert not rejected_alone(log_e, np.ones(3), 0.05).any()
