"""`make bench`: measures, writes the results and the page. `python -m tests.bench --help`."""

from __future__ import annotations

import argparse
import signal
from dataclasses import replace
from pathlib import Path

from tests.bench import report, results
from tests.bench import scenarios as of_weir
from tests.bench.batch_scoring import batch_scoring
from tests.bench.bench_stack import BenchStack, say
from tests.bench.churn import churn
from tests.bench.profile import profile
from tests.bench.recommendation import recommendation
from tests.bench.rivals_run import rivals
from tests.bench.rollouts_bench import rollouts
from tests.bench.scenarios import Choices
from tests.bench.serving import serving
from tests.bench.serving_modes import serving_modes
from tests.bench.stages import stages
from tests.bench.storage import storage
from tests.bench.task_threads import task_threads

SCENARIOS = {
    "latency": of_weir.latency,
    "stages": stages,
    "sustained": of_weir.sustained,
    "keys": of_weir.keys,
    "window": of_weir.window,
    "features": of_weir.features,
    "recovery": of_weir.recovery,
    "catchup": of_weir.catchup,
    "storage": storage,
    "task_threads": task_threads,
    "api": of_weir.api,
    "serving": serving,
    "serving_modes": serving_modes,
    "rivals": rivals,
    "profile": profile,
}
WHEN_NAMED = ("rivals", "profile", "serving", "serving_modes")
"""Rivals need environments of their own, a profile is no measurement, the others take long."""
DEFAULT = tuple(name for name in SCENARIOS if name not in WHEN_NAMED)
STACKLESS = {
    "rollouts": rollouts,
    "batch_scoring": batch_scoring,
    "recommendation": recommendation,
    "churn": churn,
}
"""What needs no stack, or has one of its own; only when named."""
LONG = ("catchup", "storage", "task_threads")
"""Once when everything is measured, as often as asked when named."""

NAMES = (*SCENARIOS, *STACKLESS)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=", ".join(NAMES))
    parser.add_argument("--runs", type=int, default=Choices.runs, help="of each point")
    parser.add_argument("--seconds", type=float, default=Choices.seconds, help="measured, of a run")
    parser.add_argument("--warm", type=float, default=Choices.warm_s, help="seconds before that")
    parser.add_argument("--rate", type=float, nargs="*", default=(), help="events a second")
    parser.add_argument("--events", type=int, default=Choices.events, help="of a backlog")
    parser.add_argument("--keys", type=int, nargs="*", default=(), help="numbers of users")
    parser.add_argument("--outage", type=int, default=Choices.outage_s, help="seconds of outage")
    parser.add_argument("--only", nargs="*", default=(), help="names of rivals, or of parts")
    parser.add_argument("--rollouts", type=int, default=Choices.rollouts, help="to simulate")
    parser.add_argument("--rows", type=int, default=Choices.rows, help="to score in a batch")
    parser.add_argument(
        "--core-hour-price", type=float, default=Choices.core_hour_price, help="US dollars"
    )
    parser.add_argument("--results", type=Path, default=results.FILE, help="the file to write")
    chosen = parser.parse_args()
    if unknown := set(chosen.scenarios) - set(NAMES):
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return chosen


def main() -> None:
    """Measure what was asked for."""
    chosen = arguments()
    choices = Choices(
        runs=chosen.runs,
        seconds=chosen.seconds,
        warm_s=chosen.warm,
        rates=tuple(chosen.rate),
        events=chosen.events,
        keys=tuple(chosen.keys),
        outage_s=chosen.outage,
        only=tuple(chosen.only),
        rollouts=chosen.rollouts,
        rows=chosen.rows,
        core_hour_price=chosen.core_hour_price,
    )
    for name in [name for name in chosen.scenarios if name in STACKLESS]:
        results.write(chosen.results, name, STACKLESS[name](choices))
        report.write_page(chosen.results)
        say(f"{name} is in {chosen.results}")
    named = [name for name in chosen.scenarios if name in SCENARIOS]
    if named or not chosen.scenarios:
        measure(chosen.results, named, choices)


def measure(file: Path, named: list[str], choices: Choices) -> None:
    """Measure scenarios on a stack: those that are named, else all."""
    # A SIGTERM, too, must stop the stack.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with BenchStack() as stack:
        for name in named or DEFAULT:
            say(f"scenario {name}")
            once = not named and name in LONG
            # Before it: some scenarios leave only the broker running.
            system = stack.describe()
            entry = SCENARIOS[name](stack, replace(choices, runs=1) if once else choices)
            results.write(file, name, {"system": system, **entry})
            report.write_page(file)
            say(f"{name} is in {file}")


if __name__ == "__main__":
    main()
