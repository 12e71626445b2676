"""Error rates, sample sizes and cost of the judgement of rollouts, by simulation; needs no stack.

`--rollouts` says how many of each kind, `--only` which parts; the others keep what was measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.bench import results
from tests.bench.bench_stack import say
from tests.bench.rollouts_simulation import (
    NEVER,
    Outcome,
    ab_test,
    bandit,
    canary,
    cpu_us_per_event,
)
from tests.bench.rollouts_world import Model, Traffic, model_with

Row = dict[str, Any]

EFFECT = 0.2
NULL_DAYS = 100
DAYS_MAX = 600
FEW_USERS = Traffic(users=500, rate_shape=0.5)
"""Users with very different rates of fraud and many events each: what a sticky assignment fears."""
DECIDED = ("roll_back", "promote", "keep")
"""Actions whose sample is compared with that of a fixed test."""
BANDIT_LOSSES = (0.0, 0.2, -0.2)
COST_RUNS = 7
"""The best counts: other programs share the caches."""
BANDIT_DAYS, BANDIT_EVENTS_PER_DAY = 240, 600


def rollouts(choices: Any) -> dict[str, Any]:
    """Simulate every part that was asked for."""
    measured: dict[str, Row] = {}
    for name in choices.only or PARTS:
        say(f"rollouts: {name}")
        done = {"part": name, **PARTS[name](choices.rollouts)}
        code = results.code_version()
        measured[name] = {"part": name, "code": code, "median": done, "runs": [done]}
        say(str({key: value for key, value in done.items() if not isinstance(value, list)}))
    earlier = results.read(results.FILE).get("rollouts", {}).get("rows", [])
    known = {row["part"]: row for row in earlier} | measured
    return {"rows": [known[name] for name in PARTS if name in known]}


def summary(outcomes: Sequence[Outcome]) -> Row:
    """Counts of what became of the rollouts, and sizes relative to a fixed test."""
    ended = [each for each in outcomes if each.fixed and each.action in DECIDED]
    ratios = np.array([each.mature / each.fixed for each in ended])
    found: Row = {
        "rollouts": len(outcomes),
        "actions": dict(sorted(Counter(each.action for each in outcomes).items())),
        "events": sum(each.events for each in outcomes),
        "cpu_us_per_event": round(
            1e6 * sum(each.cpu_s for each in outcomes) / sum(each.events for each in outcomes), 3
        ),
    }
    if len(ratios):
        found |= {
            "fixed_sample": round(float(np.median([each.fixed for each in ended]))),
            "ratio_median": round(float(np.median(ratios)), 3),
            "ratio_mean": round(float(ratios.mean()), 3),
            "ratio_p90": round(float(np.quantile(ratios, 0.9)), 3),
        }
    return found


def _null_canary(count: int) -> Row:
    return _canaries(count, Traffic(), Model(), days=NULL_DAYS, held_until=10_000)


def _null_canary_few_users(count: int) -> Row:
    return _canaries(count // 4, FEW_USERS, Model(), days=NULL_DAYS, held_until=10_000)


def _harm_canary(count: int) -> Row:
    return _canaries(count // 4, Traffic(), model_with(EFFECT), days=DAYS_MAX, held_until=NEVER)


def _canaries(count: int, traffic: Traffic, model: Model, *, days: int, held_until: int) -> Row:
    return summary(
        [
            canary(traffic, model, seed=each, days=days, held_until=held_until)
            for each in range(count)
        ]
    )


def _null_ab(count: int) -> Row:
    return _ab_tests(count, Traffic(), Model(), days=NULL_DAYS)


def _null_ab_few_users(count: int) -> Row:
    return _ab_tests(count // 4, FEW_USERS, Model(), days=NULL_DAYS)


def _better_ab(count: int) -> Row:
    return _ab_tests(count // 4, Traffic(), model_with(-EFFECT), days=DAYS_MAX)


def _ab_tests(count: int, traffic: Traffic, model: Model, *, days: int) -> Row:
    return summary([ab_test(traffic, model, seed=each, days=days) for each in range(count)])


def _bandit(count: int) -> Row:
    models = [model_with(each) for each in BANDIT_LOSSES]
    runs = max(count // 20, 1)
    done = [
        bandit(models, seed=each, days=BANDIT_DAYS, events_per_day=BANDIT_EVENTS_PER_DAY)
        for each in range(runs)
    ]
    regret = np.array([own for own, _ in done])
    return {
        "rollouts": runs,
        "relative_losses": list(BANDIT_LOSSES),
        "events_per_day": BANDIT_EVENTS_PER_DAY,
        "days": BANDIT_DAYS,
        "regret": [round(float(each), 2) for each in regret.mean(axis=0)],
        "regret_p90": [round(float(each), 2) for each in np.quantile(regret, 0.9, axis=0)],
        "regret_equal": [round(float(each), 2) for each in done[0][1]],
        "regret_share": round(float(regret[:, -1].mean() / done[0][1][-1]), 3),
    }


def _cost(_: int) -> Row:
    return {
        f"{strategy}_{batch}": round(
            min(cpu_us_per_event(strategy, events=100_000, batch=batch) for _ in range(COST_RUNS)),
            3,
        )
        for strategy in ("canary", "ab", "bandit")
        for batch in (500, 2_000, 10_000)
    }


PARTS: dict[str, Callable[[int], Row]] = {
    "null_canary": _null_canary,
    "null_canary_few_users": _null_canary_few_users,
    "harm_canary": _harm_canary,
    "null_ab": _null_ab,
    "null_ab_few_users": _null_ab_few_users,
    "better_ab": _better_ab,
    "bandit": _bandit,
    "cost": _cost,
}
