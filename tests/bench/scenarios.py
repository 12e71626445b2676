"""The scenarios of Weir alone: each takes a stack and the choices of the command line.

A scenario gives rows: what was varied, every run, and the median of the runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.bench.bench_stack import BenchStack, say
from tests.bench.measure import Measured
from tests.bench.results import median

Row = dict[str, Any]
Entry = dict[str, Any]


@dataclass(frozen=True)
class Choices:
    """What the command line chose.

    Attributes:
        runs: how often each point is measured.
        seconds: how long each run is measured.
        warm_s: how long before that the load runs already.
        rates: events a second; empty: those of the scenario.
        events: of a backlog.
    """

    runs: int = 3
    seconds: float = 20.0
    warm_s: float = 5.0
    rates: tuple[float, ...] = ()
    events: int = 60_000

    def or_rates(self, *rates: float) -> tuple[float, ...]:
        """The rates that were asked for, else these."""
        return self.rates or rates


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
    """One run in one line, for whoever watches."""
    found = done.to_json()
    latency = " ".join(f"{name} {value:g}" for name, value in found["latency_ms"].items())
    cpu = sum(us for name, us in found["cpu_us_per_event"].items() if name not in MEASURING)
    return (
        f"{found['decided_per_s']:g}/s decided, ms: {latency}; {cpu:.0f} CPU us an event, "
        f"{found['undecided']} undecided, others took {found['cores_of_others']:g} cores"
    )


MEASURING = ("sender", "watcher")


def latency(stack: BenchStack, choices: Choices) -> Entry:
    """Event to decision at fixed rates."""
    stack.fresh()
    rates = choices.or_rates(500, 2_000, 5_000)
    rows = [
        row(
            {"rate_per_s": rate},
            [open_loop(stack, choices, rate).to_json() for _ in range_of(choices)],
        )
        for rate in rates
    ]
    return {"rows": rows}


def range_of(choices: Choices) -> range:
    """The runs."""
    return range(choices.runs)


SCENARIOS: dict[str, Callable[[BenchStack, Choices], Entry]] = {"latency": latency}
