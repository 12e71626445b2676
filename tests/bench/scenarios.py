"""The scenarios of Weir alone: each takes a stack and the choices of the command line.

A scenario gives rows: what was varied, every run, and the median of the runs.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.definitions import DAY_MS, HOUR_MS
from tests.bench.bench_stack import BenchStack, say
from tests.bench.client import run_client
from tests.bench.measure import Measured
from tests.bench.results import median
from tests.bench.settle import until_settled
from tests.bench.usage import between, look

Row = dict[str, Any]
Entry = dict[str, Any]

MEASURING = ("sender", "watcher")
COST_RATE_PER_S = 1_000.0
OUTAGE_RATE_PER_S = 1_000
KILL_AFTER_S = 8.0
BACKLOG = 60_000
"""Events of a backlog, if nothing else is said."""
KNOWN_PER_S = 5_000
"""Rate of the first events of many users. A million at once change more states than wait for Redis
(`WEIR_ONLINE_BUFFER_KEYS_MAX`), and then the job writes all of them again for many minutes."""
STEP = 1.12
"""From one rate of the search to the next."""
STEPS_MAX = 6


@dataclass(frozen=True)
class Choices:
    """What the command line chose.

    Attributes:
        runs: how often each point is measured.
        seconds: how long each run is measured.
        warm_s: how long before that the load runs already.
        rates: events a second; empty: those of the scenario.
        events: of a backlog; 0: as many as the scenario says.
        keys: how many users there are; empty: 1 k, 100 k, 1 M.
        outage_s: how long the outage is that has to be caught up with.
        only: names of rivals, or of parts of a simulation; empty: all.
        rollouts: how many to simulate.
        rows: to score in a batch.
        core_hour_price: what a core costs an hour, US dollars.
    """

    runs: int = 3
    seconds: float = 15.0
    warm_s: float = 5.0
    rates: tuple[float, ...] = ()
    events: int = 0
    keys: tuple[int, ...] = ()
    outage_s: int = 600
    only: tuple[str, ...] = ()
    rollouts: int = 2_000
    rows: int = 10_000_000
    core_hour_price: float = 0.05

    def or_rates(self, *rates: float) -> tuple[float, ...]:
        """The rates that were asked for, else these."""
        return self.rates or rates

    def backlog(self) -> int:
        """The size of a backlog that was asked for, else the usual one."""
        return self.events or BACKLOG


def row(what: dict[str, Any], runs: Iterable[dict[str, Any]]) -> Row:
    """One line of the results."""
    done = list(runs)
    return {**what, "median": median(done), "runs": done}


def open_loop(stack: BenchStack, choices: Choices, rate: float, **changes: Any) -> Measured:
    """One run at a rate."""
    events = round(rate * (choices.warm_s + choices.seconds))
    load = stack.load(events, rate_per_s=rate, **changes)
    done = stack.run(load, warm_s=choices.warm_s)
    say(f"{rate:g}/s: {shown(done)}")
    return done


def shown(done: Measured) -> str:
    """The result of one run as one line of text."""
    found = done.to_json()
    latency_ms = " ".join(f"{name} {value:g}" for name, value in found["latency_ms"].items())
    cpu_us = sum(us for name, us in found["cpu_us_per_event"].items() if name not in MEASURING)
    return (
        f"{found['decided_per_s']:g}/s decided, ms: {latency_ms}; {cpu_us:.0f} CPU us an event, "
        f"{found['undecided']} undecided, others took {found['cores_of_others']:g} cores"
    )


def latency(stack: BenchStack, choices: Choices) -> Entry:
    """Event to decision at 200, 500, 2,000 and 5,000 events/s."""
    stack.fresh()
    rows = [
        row(
            {"rate_per_s": rate},
            [open_loop(stack, choices, rate).to_json() for _ in range(choices.runs)],
        )
        for rate in choices.or_rates(200, 500, 2_000, 5_000)
    ]
    return {"rows": rows}


def sustained(stack: BenchStack, choices: Choices) -> Entry:
    """The highest rate: a backlog drained, and the highest rate at which nothing piles up."""
    stack.fresh()
    events = choices.backlog()
    drained = [drain(stack, events) for _ in range(choices.runs)]
    drains = row({"backlog": events}, [done.to_json() for done in drained])
    start = choices.rates[0] if choices.rates else 0.85 * drains["median"]["decided_per_s"]
    steps, kept = search(stack, choices, start)
    return {"rows": [drains], "steps": steps, "sustained_per_s": kept}


def drain(stack: BenchStack, events: int) -> Measured:
    """All events at once."""
    done = stack.run(stack.load(events, rate_per_s=None), drain_s=60 + events / 500)
    say(f"a backlog of {events}: {shown(done)}")
    return done


def search(stack: BenchStack, choices: Choices, start: float) -> tuple[list[Row], float]:
    """Go up or down from a rate, step by step, to the highest that is kept in every run.

    A rate counts only if all its runs keep up; the first that does not decides.
    """
    steps: list[Row] = []

    def keeps(rate: float) -> bool:
        runs: list[dict[str, Any]] = []
        while len(runs) < choices.runs and (not runs or runs[-1]["keeps_up"]):
            runs.append(open_loop(stack, choices, rate).to_json())
        steps.append(row({"rate_per_s": rate}, runs))
        return bool(runs[-1]["keeps_up"])

    rate = max(10.0, round(start, -1))
    if keeps(rate):
        while len(steps) < STEPS_MAX and keeps(higher := round(rate * STEP, -1)):
            rate = higher
        return steps, rate
    while len(steps) < STEPS_MAX:
        rate = round(rate / STEP, -1)
        if keeps(rate):
            return steps, rate
    return steps, 0.0


def keys(stack: BenchStack, choices: Choices) -> Entry:
    """Cost of an event with 1 k, 100 k and 1 M users known."""
    rows = []
    for users in choices.keys or (1_000, 100_000, 1_000_000):
        stack.fresh()
        population = {"users": users, "population": f"k{users}"}
        failed = fill(stack, users, past_ms=HOUR_MS, rate_per_s=KNOWN_PER_S, **population)
        rows.append(cost(stack, choices, {"users": users}, failed=failed, **population))
    return {"rows": rows}


def window(stack: BenchStack, choices: Choices) -> Entry:
    """Cost of an event with 10, 1,000 and 10,000 events in its user's window, and of a hot key."""
    stack.fresh()
    rows = []
    for events, users in ((10, 1_000), (1_000, 100), (10_000, 10)):
        population = {"users": users, "population": f"w{events}"}
        failed = fill(stack, events * users, past_ms=30 * DAY_MS, **population)
        what = {"events_in_window": events, "users": users}
        rows.append(cost(stack, choices, what, failed=failed, **population))
    hot = {"users": 5_000, "population": "hot", "hot_share": 0.2}
    failed = fill(stack, 50_000, past_ms=30 * DAY_MS, **hot)
    what = {"events_in_window": "one key of 5,000 has 20 %, 10,000 events", "users": 5_000}
    rows.append(cost(stack, choices, what, failed=failed, **hot))
    return {"rows": rows}


def fill(
    stack: BenchStack,
    events: int,
    *,
    past_ms: int,
    rate_per_s: float | None = None,
    **population: Any,
) -> int:
    """Give users a history, all at once by default; says how many of its events got no decision."""
    in_turn = not population.get("hot_share")
    load = stack.load(events, rate_per_s=rate_per_s, past_ms=past_ms, in_turn=in_turn, **population)
    done = stack.run(load, drain_s=60 + events / 500)
    say(f"history of {events} events: {shown(done)}")
    return done.undecided


def cost(
    stack: BenchStack, choices: Choices, what: dict[str, Any], *, failed: int, **population: Any
) -> Row:
    """Cost of an event at a rate that leaves room, so that it is no question of batches.

    Waits first until nothing is left to do for the events before.
    """
    until_settled(stack)
    rate = choices.or_rates(COST_RATE_PER_S)[0]
    runs = [open_loop(stack, choices, rate, **population).to_json() for _ in range(choices.runs)]
    return row({**what, "rate_per_s": rate, "history_undecided": failed}, runs)


def features(stack: BenchStack, choices: Choices) -> Entry:
    """Cost of a fold by number of features; in one process, without Kafka and Flink."""
    rows = []
    for windows in (1, 3, 5, 10, 20):
        runs = [_fold_cost(windows) for _ in range(choices.runs)]
        count = 3 * windows + 2
        rows.append(row({"windows": windows, "features": count}, runs))
        say(f"{count} features: {rows[-1]['median']['fold_us']} us a fold")
    return {"rows": rows}


def _fold_cost(windows: int) -> dict[str, Any]:
    return run_client("tests.bench.fold_by_features", windows)


def recovery(stack: BenchStack, choices: Choices) -> Entry:
    """A `kill -9` of the TaskManager under load: how long no decision comes, and what it costs."""
    stack.fresh()
    rate = choices.or_rates(1_000)[0]
    return {
        "rows": [row({"rate_per_s": rate}, [_killed(stack, rate) for _ in range(choices.runs)])]
    }


def _killed(stack: BenchStack, rate: float) -> dict[str, Any]:
    killed_s = 0.0

    def kill(start_s: float) -> None:
        nonlocal killed_s
        time.sleep(max(0.0, start_s + KILL_AFTER_S - time.time()))
        os.kill(stack.stack.pid("taskmanager"), signal.SIGKILL)
        killed_s = time.time()

    load = stack.load(round(rate * 45), rate_per_s=rate)
    done = stack.run(load, during=kill, drain_s=60)
    received_s = np.sort(done.seen.received_s[~np.isnan(done.seen.received_s)])
    received_s = received_s[np.searchsorted(received_s, killed_s) - 1 :]
    longest = int(np.diff(received_s).argmax())
    latencies_s = done.seen.received_s - done.due_s
    slow = np.flatnonzero((done.due_s > killed_s) & ~(latencies_s < 1.0))
    found = {
        "until_decisions_flow_s": round(float(received_s[longest + 1]) - killed_s, 2),
        "until_caught_up_s": round(float(done.due_s[slow[-1]]) - killed_s, 2) if len(slow) else 0.0,
        "lost": done.undecided,
        "repeats": done.seen.repeats,
    }
    say(f"killed: {found}")
    stack.stack.wait_ready()
    return found


def catchup(stack: BenchStack, choices: Choices) -> Entry:
    """An outage of ten minutes at 1,000 events/s: how long until its backlog is decided."""
    events = choices.outage_s * OUTAGE_RATE_PER_S
    runs = []
    for _ in range(choices.runs):
        # The TaskManager is stopped and starts cold, as after any outage.
        stack.fresh(warm_up_events=0)
        runs.append(_outage(stack, events, past_ms=choices.outage_s * 1000))
    return {"rows": [row({"outage_s": choices.outage_s, "backlog": events}, runs)]}


def _outage(stack: BenchStack, events: int, *, past_ms: int) -> dict[str, Any]:
    stack.stack.stop("taskmanager")
    began_s = 0.0
    before = look({})

    def begin(start_s: float) -> None:
        nonlocal began_s, before
        # The outage ends when all of its events are in the log.
        time.sleep(max(0.0, start_s + 2 + events / 50_000 - time.time()))
        began_s = time.time()
        before = look(stack.pids())
        stack.stack.restart("taskmanager")

    load = stack.load(events, rate_per_s=None, past_ms=past_ms)
    done = stack.run(load, during=begin, drain_s=120 + events / 500)
    received_s = done.seen.received_s[~np.isnan(done.seen.received_s)]
    used = between(before, look(stack.pids()))
    found = {
        "until_decisions_flow_s": round(float(received_s.min()) - began_s, 1),
        "until_caught_up_s": round(float(received_s.max()) - began_s, 1),
        "decided_per_s": round(len(received_s) / (float(received_s.max()) - began_s), 1),
        "lost": done.undecided,
        **used.to_json(events),
    }
    say(f"caught up with {events} events in {found['until_caught_up_s']} s")
    return found


def api(stack: BenchStack, choices: Choices) -> Entry:
    """Ad-hoc scoring over HTTP, open loop at 300 requests/s, of users with a history."""
    stack.fresh()
    users = 500
    fill(stack, 5 * users, past_ms=DAY_MS, users=users, population="api")
    # The online state is written a moment after the decision.
    time.sleep(3)
    rate = choices.or_rates(300)[0]
    return {
        "rows": [
            row({"rate_per_s": rate}, [_asked(stack, choices, rate) for _ in range(choices.runs)])
        ]
    }


def _asked(stack: BenchStack, choices: Choices, rate: float) -> dict[str, Any]:
    settings = stack.settings
    spec = {
        "host": settings.api_host,
        "port": settings.api_port,
        "rate_per_s": rate,
        "seconds": choices.seconds,
        "warm_s": choices.warm_s,
        "users": 500,
        "merchants": 1_000,
        "population": "api",
    }
    pids = {name: pid for name in ("api", "redis") if (pid := stack.stack.pid(name))}
    before = look(pids)
    answered = run_client("tests.bench.api_client", spec)
    used = between(before, look(pids))
    found = {
        **answered,
        **used.to_json(round(rate * (choices.seconds + choices.warm_s))),
    }
    say(f"{rate:g} requests/s: {found['latency_ms']}, answers {found['answers']}")
    return found
