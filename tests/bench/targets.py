"""What the benchmarks should show, beside what `results.json` says was measured.

`report` writes the table. A figure is never typed in: each target reads it from the results, so it
has the date and the code of its scenario.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.bench.markdown import number, system_us, table
from tests.bench.storage_report import FIRST_DECISIONS, STATES, way

Entry = dict[str, Any]
NOT_MEASURED = "not measured yet"
_PERCENTILES = {"p50": "p50", "p99": "p99", "p99_9": "p99.9"}


class Reading(NamedTuple):
    """A figure of the results, and whether it is as good as it should be."""

    text: str
    is_met: bool


@dataclass(frozen=True)
class Target:
    """One line of the table.

    Attributes:
        what: is measured.
        target: in words.
        scenario: whose results have it.
        read: gives the reading; None or a KeyError if the results lack it.
    """

    what: str
    target: str
    scenario: str
    read: Callable[[Entry], Reading | None]


def against_targets(everything: dict[str, Entry]) -> str:
    """The table, a line for each target."""
    rows = []
    for each in TARGETS:
        reading = _reading(each, everything)
        if reading is None:
            rows.append([each.what, each.target, NOT_MEASURED, "", ""])
            continue
        entry = everything[each.scenario]
        taken = f"{entry['taken_at'][:16].replace('T', ' ')}, {entry['code']}"
        verdict = "met" if reading.is_met else "**missed**"
        rows.append([each.what, each.target, reading.text, verdict, f"`{each.scenario}` {taken}"])
    return table(["what", "target", "measured", "", "scenario, UTC, code"], rows)


def headlines(everything: dict[str, Entry]) -> str:
    """The table of the README: some of the targets' figures, and when they were measured."""
    targets = {target.what: target for target in TARGETS}
    rows = []
    for title, what in HEADLINES:
        reading = _reading(targets[what], everything)
        taken_on = everything[targets[what].scenario]["taken_at"][:10] if reading else ""
        rows.append([title, reading.text if reading else NOT_MEASURED, taken_on])
    return table(["what", "measured", "on"], rows)


def _reading(target: Target, everything: dict[str, Entry]) -> Reading | None:
    try:
        return target.read(everything[target.scenario])
    except KeyError:
        return None


def _row(entry: Entry, **what: Any) -> dict[str, Any]:
    """The medians of the row that has these values; a KeyError if there is none."""
    for row in entry["rows"]:
        if all(row[name] == value for name, value in what.items()):
            found: dict[str, Any] = row["median"]
            return found
    raise KeyError(what)


def _latency(
    what: dict[str, Any], limits_ms: dict[str, float], scenario: str, title: str
) -> Target:
    def read(entry: Entry) -> Reading:
        found = _row(entry, **what)["latency_ms"]
        shown = ", ".join(f"{_PERCENTILES[name]} {number(found[name])}" for name in limits_ms)
        return Reading(f"{shown} ms", all(found[name] <= limits_ms[name] for name in limits_ms))

    limits = ", ".join(f"{_PERCENTILES[name]} {limit:g}" for name, limit in limits_ms.items())
    return Target(title, f"{limits} ms", scenario, read)


def _relative(title: str, target: float, *names: str) -> Target:
    """Weir's rate of a backlog, relative to the best of some rivals."""

    def read(entry: Entry) -> Reading:
        def rate(name: str) -> float:
            return float(_row(entry, system=name)["drain"]["decided_per_s"])

        ratio = rate("weir") / max(map(rate, names))
        return Reading(f"{ratio:.2f} x", ratio >= target)

    return Target(title, f"at least {target:g} x", "rivals", read)


def _cost(title: str, scenario: str, *, rows: int) -> Target:
    """The largest cost of an event among some rows, relative to the first."""

    def read(entry: Entry) -> Reading:
        costs = [system_us(row["median"]) for row in entry["rows"][:rows]]
        ratio = max(costs) / costs[0]
        return Reading(f"{ratio:.2f} x", ratio <= 1.2)

    return Target(title, "at most 1.2 x", scenario, read)


def _sustained(entry: Entry) -> Reading:
    kept = entry["sustained_per_s"]
    return Reading(f"{kept:,.0f}/s", kept >= 5_000)


def _backlog_us(entry: Entry) -> Reading:
    used_us = system_us(entry["rows"][0]["median"])
    return Reading(f"{number(used_us)} us", used_us <= 180)


def _caught_up(entry: Entry) -> Reading:
    found = _row(entry, outage_s=600)
    return Reading(f"{found['until_caught_up_s']:.0f} s", found["until_caught_up_s"] <= 90)


def _bytes(title: str, limit: float, of_median: Callable[[dict[str, Any]], float]) -> Target:
    def read(entry: Entry) -> Reading:
        found = {way(row): of_median(row["median"]) for row in entry["rows"]}
        shown = ", ".join(f"{name} {number(each)}" for name, each in found.items())
        return Reading(shown, max(found.values()) <= limit)

    return Target(title, f"at most {limit:,.0f} bytes", "storage", read)


def _memory_bytes(found: dict[str, Any]) -> float:
    """A first decision as a whole, and what the states have grown.

    What the first decisions have grown depends on whether their table has doubled meanwhile.
    """
    states = sum(found["memory"][kind] for kind in STATES.values())
    return float(found["whole"][FIRST_DECISIONS] + states)


def _task_threads(entry: Entry) -> Reading:
    one_core, one, two = (row["median"]["rows_per_s"] for row in entry["rows"])
    text = f"{two / one:.2f} x; {two / one_core:.2f} x to parallelism 1 on one core"
    return Reading(text, two >= 1.5 * one)


def _beside_feast(rate_per_s: float) -> Callable[[Entry], Reading]:
    def read(entry: Entry) -> Reading:
        ours, theirs = (
            _row(entry, system=name, rate_per_s=rate_per_s)["latency_ms"]["p50"]
            for name in ("weir", "feast")
        )
        return Reading(f"{number(ours)} beside {number(theirs)} ms", ours <= theirs / 10)

    return read


def _night(entry: Entry) -> Reading:
    night_s = _row(entry, part="night")["steps_s"]["all"]
    return Reading(f"{night_s:.0f} s", night_s <= 180)


def _ranking(entry: Entry) -> Reading:
    usual, emptied = (_row(entry, part=part) for part in ("ranking", "emptied"))
    p99_ms = [found["latency_ms"]["p99"] for found in (usual, emptied)]
    errors = usual["errors"] + emptied["errors"]
    text = (
        f"p99 {p99_ms[0]:.1f} ms; with Redis emptied meanwhile {p99_ms[1]:.1f} ms, errors: {errors}"
    )
    return Reading(text, p99_ms[0] <= 10 and not errors)


def _churn(entry: Entry) -> Reading:
    found = _row(entry, rate_per_s=100)
    p50, p95, p99 = (found["latency_ms"][name] for name in ("p50", "p95", "p99"))
    text = f"p95 {p95:.1f} ms (p50 {p50:.1f}, p99 {p99:.1f}), errors: {found['errors']:,.0f}"
    return Reading(text, p95 < 50 and not found["errors"])


def _batch(entry: Entry) -> Reading:
    found = _row(entry, part="plain")
    seconds, rows_per_s = found["seconds"]["all"], found["rows_per_s"]
    is_met = found["rows"] >= 10_000_000 and rows_per_s >= 100_000 and seconds <= 80
    return Reading(f"{rows_per_s:,.0f} rows/s; {seconds:.0f} s", is_met)


def _false_verdicts(entry: Entry) -> Reading:
    canary, ab = (_row(entry, part=part) for part in ("null_canary", "null_ab"))
    winners = ab["actions"].get("keep", 0) + ab["actions"].get("promote", 0)
    shares = (canary["actions"].get("roll_back", 0) / canary["rollouts"], winners / ab["rollouts"])
    text = f"{shares[0]:.1%} of {canary['rollouts']:,} and {shares[1]:.1%} of {ab['rollouts']:,}"
    return Reading(text, max(shares) <= 0.05)


def _sample(entry: Entry) -> Reading:
    found = _row(entry, part="harm_canary")
    middle, mean = found["ratio_median"], found["ratio_mean"]
    return Reading(f"{middle:.2f} (median), {mean:.2f} (mean)", max(middle, mean) <= 1.5)


def _judging(entry: Entry) -> Reading:
    used_us = _row(entry, part="cost")["canary_2000"]
    return Reading(f"{used_us:.1f} us", used_us <= 2)


TARGETS = (
    *(
        _latency(
            {"rate_per_s": rate}, limits_ms, "latency", f"event to decision at {rate:,} events/s"
        )
        for rate, limits_ms in (
            (200, {"p50": 10, "p99": 40}),
            (500, {"p50": 12, "p99": 40}),
            (2_000, {"p50": 12, "p99": 50, "p99_9": 150}),
        )
    ),
    Target("the highest sustained rate", "at least 5,000/s", "sustained", _sustained),
    Target(
        "CPU of all programs for an event of a backlog", "at most 180 us", "sustained", _backlog_us
    ),
    _relative("a backlog, relative to Quix Streams in one process", 1, "quix"),
    _relative("the same, to the better of one and two processes", 0.8, "quix", "quix x 2"),
    _relative("the same, to Bytewax", 0.7, "bytewax"),
    _relative("the same, to the bare loop", 0.3, "bare loop"),
    _relative("the same, to Faust with a table", 10, "faust"),
    _cost("cost of an event, 10 to 10,000 events in its window", "window", rows=3),
    _cost("the same, 1 k to 1 M users", "keys", rows=3),
    Target("10 minutes of outage at 1,000/s, decided after", "at most 90 s", "catchup", _caught_up),
    _bytes("an event in Redis' memory", 120, _memory_bytes),
    _bytes("an event on disk", 1_500, lambda found: found["disk_all"]),
    Target("the job alone, parallelism 2 to 1", "at least 1.5 x", "task_threads", _task_threads),
    _latency({"rate_per_s": 300}, {"p50": 3, "p99": 15}, "api", "`POST /predict`, 300 requests/s"),
    Target(
        "p50 of 300 scores/s beside Feast's feature server with `mlflow models serve`",
        "at most 1/10",
        "serving",
        _beside_feast(300),
    ),
    Target(
        "a night of 100,000 shoppers, 100 candidates each",
        "at most 180 s",
        "recommendation",
        _night,
    ),
    Target(
        "the ten best of 100 candidates, 300 requests/s",
        "p99 10 ms, errors: 0",
        "recommendation",
        _ranking,
    ),
    Target("churn of one user, 100 requests/s", "p95 below 50 ms, errors: 0", "churn", _churn),
    Target(
        "10 million rows by batch into PostgreSQL", "100,000 rows/s; 80 s", "batch_scoring", _batch
    ),
    Target(
        "canaries rolled back, and winners of A/B tests, with nothing different, looked at after "
        "every event",
        "at most 5 %",
        "rollouts",
        _false_verdicts,
    ),
    Target(
        "a loss 20 % larger, rolled back",
        "at most 1.5 samples of a fixed test",
        "rollouts",
        _sample,
    ),
    Target(
        "judging a decision and its label, batches of 2,000", "at most 2 us", "rollouts", _judging
    ),
)

HEADLINES = (
    ("from event to decision at 500 events/s", "event to decision at 500 events/s"),
    ("the same at 2,000 events/s", "event to decision at 2,000 events/s"),
    ("the highest rate without a growing backlog", "the highest sustained rate"),
    (
        "CPU time of all programs for an event of a backlog",
        "CPU of all programs for an event of a backlog",
    ),
    (
        "throughput of a backlog, relative to a Quix Streams application that does the same work",
        "a backlog, relative to Quix Streams in one process",
    ),
    ("`POST /predict` at 300 requests/s", "`POST /predict`, 300 requests/s"),
    (
        "10 million rows scored by batch, from Parquet into PostgreSQL",
        "10 million rows by batch into PostgreSQL",
    ),
)
"""Lines of the README: the title there, and the target whose figure it shows."""
