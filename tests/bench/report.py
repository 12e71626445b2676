"""The benchmark page: tables and pictures, made only from `results.json`.

`docs/benchmarks/README.md` holds the tables between two markers; `tests/house/test_benchmarks.py`
fails when they differ from the results. `python -m tests.bench.report` writes them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from infra.local.layout import REPO
from tests.bench import (
    batch_scoring_report,
    churn_report,
    recommendation_report,
    results,
    rollouts_report,
    serving_modes_report,
    storage_report,
)
from tests.bench.markdown import BESIDE, number, system_us, table
from tests.bench.targets import against_targets, headlines

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
NOTHING = "Nothing has been measured yet."
Entry = dict[str, Any]
TARGETS_BEGIN, TARGETS_END = "<!-- targets: begin -->", "<!-- targets: end -->"
FIRST_PAGE = REPO / "README.md"
FIRST_PAGE_MARKERS = ("<!-- measured: begin -->", "<!-- measured: end -->")


def write_page(file: Path) -> None:
    """Write the tables and pictures of a results file into its directory."""
    everything = results.read(file)
    from tests.bench.plots import draw  # slow to import

    draw(everything, file.parent)
    page = file.parent / "README.md"
    if page.exists():
        text = page.read_text(encoding="utf-8")
        page.write_text(with_tables(text, everything, file.parent), encoding="utf-8")
        serving_modes_report.write_page(everything, beside=file.parent)
    if file == results.FILE:
        first = FIRST_PAGE.read_text(encoding="utf-8")
        FIRST_PAGE.write_text(with_headlines(first, everything), encoding="utf-8")


def picture(name: str, directory: Path) -> str:
    """The Markdown of a scenario's picture; empty if there is none."""
    file = directory / f"{name}.svg"
    return f"\n\n![{SECTIONS[name][0]}]({file.name})" if file.exists() else ""


def with_tables(text: str, everything: dict[str, Entry], directory: Path) -> str:
    """The page with its tables replaced by those of the results."""
    if TARGETS_BEGIN in text:
        text = _with(text, (TARGETS_BEGIN, TARGETS_END), against_targets(everything))
    return _with(text, (BEGIN, END), tables(everything, directory))


def with_headlines(text: str, everything: dict[str, Entry]) -> str:
    """The README with its figures replaced by those of the results."""
    return _with(text, FIRST_PAGE_MARKERS, headlines(everything))


def _with(text: str, markers: tuple[str, str], content: str) -> str:
    begin, end = markers
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


def tables(everything: dict[str, Entry], directory: Path) -> str:
    """The sections of all scenarios that were measured."""
    parts = [
        f"### {title}\n\n{circumstances(everything[name])}\n\n{make(everything[name])}"
        f"{picture(name, directory)}"
        for name, (title, make) in SECTIONS.items()
        if name in everything
    ]
    return "\n\n".join(parts) if parts else NOTHING


def circumstances(entry: Entry) -> str:
    """When, with which code and on which machine, and what other processes used."""
    machine = entry["machine"]
    others = [
        run["cores_of_others"]
        for each in runs_of(entry)
        for run in (each, *each.values())
        if isinstance(run, dict) and "cores_of_others" in run
    ]
    beside = f"; other processes used up to {max(others):g} cores" if others else ""
    return (
        f"{entry['taken_at'][:16].replace('T', ' ')} UTC, code {entry['code']}, "
        f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gib']:.0f} GiB{beside}."
    )


def runs_of(entry: Entry) -> Iterable[dict[str, Any]]:
    """Every single run of an entry."""
    for row in (*entry["rows"], *entry.get("steps", ())):
        yield from row["runs"]


def latency_cells(found: dict[str, Any]) -> list[str]:
    """p50, p99, p99.9 in ms."""
    latency_ms = found.get("latency_ms", {})
    return [number(latency_ms.get(name)) for name in ("p50", "p99", "p99_9")]


def by_program(found: dict[str, Any]) -> str:
    """CPU of an event by program, us, for programs with at least 1 us."""
    used = {
        name: us for name, us in found["cpu_us_per_event"].items() if us >= 1 and name not in BESIDE
    }
    largest = sorted(used.items(), key=lambda each: -each[1])
    return ", ".join(f"{name} {number(us)}" for name, us in largest)


def _latency(entry: Entry) -> str:
    rows = []
    for row in entry["rows"]:
        found = row["median"]
        used = found["cpu_us_per_event"]
        rows.append(
            [
                f"{row['rate_per_s']:,.0f}",
                *latency_cells(found),
                "yes" if found["keeps_up"] else "no",
                number(system_us(found)),
                *(number(used.get(name)) for name in ("taskmanager", "scorer", "kafka", "redis")),
                len(row["runs"]),
            ]
        )
    head = ["events/s", "p50 ms", "p99 ms", "p99.9 ms", "keeps up", "CPU us per event"]
    return table([*head, "Flink", "scorer", "Kafka", "Redis", "runs"], rows)


def _stages(entry: Entry) -> str:
    names = list(entry["rows"][0]["median"]["stages_ms"])
    head = ["stage, ms"]
    for row in entry["rows"]:
        head += [f"{row['rate_per_s']:,.0f}/s mean", "p50", "p99"]
    rows = []
    for name in names:
        cells = [name]
        for row in entry["rows"]:
            stage = row["median"]["stages_ms"].get(name, {})
            cells += [number(stage.get(each)) for each in ("mean", "p50", "p99")]
        rows.append(cells)
    return table(head, rows)


def _sustained(entry: Entry) -> str:
    drained = entry["rows"][0]
    found = drained["median"]
    rows = [
        [
            f"{step['rate_per_s']:,.0f}",
            "yes" if step["median"]["keeps_up"] else "no",
            *latency_cells(step["median"]),
            number(system_us(step["median"])),
            len(step["runs"]),
        ]
        for step in sorted(entry["steps"], key=lambda step: step["rate_per_s"])
    ]
    head = ["events/s", "keeps up", "p50 ms", "p99 ms", "p99.9 ms", "CPU us per event", "runs"]
    return (
        f"A backlog of {drained['backlog']:,} events: {number(found['decided_per_s'])} "
        f"decisions/s, {number(system_us(found))} us of CPU per event ({by_program(found)}). "
        "The highest rate "
        f"without a growing backlog: {entry['sustained_per_s']:,.0f} events/s.\n\n"
        f"{table(head, rows)}"
    )


def _cost(*names: str) -> Callable[[Entry], str]:
    def make(entry: Entry) -> str:
        base = system_us(entry["rows"][0]["median"])
        rows = [
            [
                *(row[name] if isinstance(row[name], str) else f"{row[name]:,}" for name in names),
                number(system_us(row["median"])),
                f"{system_us(row['median']) / base:.2f}",
                number(row["median"]["cpu_us_per_event"].get("taskmanager")),
                *latency_cells(row["median"]),
                number(row["median"]["peak_mib"].get("taskmanager")),
            ]
            for row in entry["rows"]
        ]
        head = [*(name.replace("_", " ") for name in names), "CPU us per event", "ratio", "Flink"]
        return table([*head, "p50 ms", "p99 ms", "p99.9 ms", "Flink's memory, MiB"], rows)

    return make


def _features(entry: Entry) -> str:
    rows = [
        [row["features"], row["windows"], number(row["median"]["fold_us"])] for row in entry["rows"]
    ]
    return table(["features of a user", "windows", "CPU us per fold"], rows)


def _recovery(entry: Entry) -> str:
    rows = [
        [
            f"{row['rate_per_s']:,.0f}",
            number(row["median"]["until_decisions_flow_s"]),
            number(row["median"]["until_caught_up_s"]),
            row["median"]["lost"],
            number(row["median"]["repeats"]),
            len(row["runs"]),
        ]
        for row in entry["rows"]
    ]
    head = ["events/s", "s until decisions resume", "s until caught up", "lost", "repeats", "runs"]
    return table(head, rows)


def _catchup(entry: Entry) -> str:
    rows = [
        [
            f"{row['outage_s']:,} s",
            f"{row['backlog']:,}",
            number(row["median"]["until_decisions_flow_s"]),
            number(row["median"]["until_caught_up_s"]),
            number(row["median"]["decided_per_s"]),
            row["median"]["lost"],
            len(row["runs"]),
        ]
        for row in entry["rows"]
    ]
    head = ["outage", "backlog", "s until decisions resume", "s until caught up", "decisions/s"]
    return table([*head, "lost", "runs"], rows)


def _api(entry: Entry) -> str:
    rows = [
        [
            f"{row['rate_per_s']:,.0f}",
            *latency_cells(row["median"]),
            number(row["median"]["cpu_us_per_event"].get("api")),
            len(row["runs"]),
        ]
        for row in entry["rows"]
    ]
    return table(["requests/s", "p50 ms", "p99 ms", "p99.9 ms", "API CPU us", "runs"], rows)


def _serving(entry: Entry) -> str:
    names = {"weir": "Weir", "feast": "Feast's feature server and `mlflow models serve`"}
    rows = []
    for row in entry["rows"]:
        found = row["median"]
        cpu_us = found["cpu_us_per_event"]
        own = sum(us for name, us in cpu_us.items() if name != "redis")
        latency_ms = found["latency_ms"]
        rows.append(
            [
                names[row["system"]],
                f"{row['rate_per_s']:,.0f}",
                *(number(latency_ms.get(name)) for name in ("p50", "p95", "p99", "p99_9")),
                f"{found['errors']:,.0f}",
                number(own),
                len(row["runs"]),
            ]
        )
    head = ["", "requests/s", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms", "errors", "CPU us", "runs"]
    return table(head, rows)


def _rivals(entry: Entry) -> str:
    weir = entry["rows"][0]["median"]
    rates = [name for name in weir if name != "drain"]
    head = ["", "events/s of a backlog", "Weir relative to it"]
    head += ["CPU us per event, own", "Kafka's", "MiB"]
    for rate in rates:
        head += [f"{rate}/s: CPU us", "p50 ms", "p99 ms"]
    rows = []
    for row in entry["rows"]:
        found = row["median"]
        drained = found["drain"]
        memory = [
            mib for name, mib in drained["peak_mib"].items() if name not in (*BESIDE, "kafka")
        ]
        cells = [
            row["system"],
            number(drained["decided_per_s"]),
            f"{weir['drain']['decided_per_s'] / max(1e-9, drained['decided_per_s']):.2f}",
            number(drained["system_us_per_event"]),
            number(drained["kafka_us_per_event"]),
            number(sum(memory)),
        ]
        for rate in rates:
            at_rate = found[rate]
            cells += [number(at_rate["system_us_per_event"]), *latency_cells(at_rate)[:2]]
        rows.append(cells)
    checked = sum(run[rate]["values"]["checked"] for run in runs_of(entry) for rate in rates)
    different = sum(run[rate]["values"]["different"] for run in runs_of(entry) for rate in rates)
    return (
        f"{table([*head, 'runs'], [[*row, len(entry['rows'][0]['runs'])] for row in rows])}\n\n"
        f"Feature values compared with a recomputation: {checked:,}; {different:,} differ."
    )


def _profile(entry: Entry) -> str:
    found = entry["rows"][0]["median"]
    parts = []
    for name, shares in found.items():
        rows = [[f"`{each}`", f"{share:.1%}"] for each, share in list(shares.items())[:12]]
        parts.append(f"{name.capitalize()}:\n\n{table(['', 'share'], rows)}")
    return "\n\n".join(parts)


def _task_threads(entry: Entry) -> str:
    one, base = (entry["rows"][at]["median"]["rows_per_s"] for at in (0, 1))
    rows = []
    for row in entry["rows"]:
        found = row["median"]
        used = found["cpu_us_per_event"]
        rows.append(
            [
                row["parallelism"],
                row["cores"],
                number(found["cores_busy"]),
                number(found["rows_per_s"]),
                f"{found['rows_per_s'] / one:.2f}",
                f"{found['rows_per_s'] / base:.2f}",
                number(system_us(found)),
                *(number(used.get(name)) for name in ("taskmanager", "kafka", "redis")),
                number(found["seconds"]),
                len(row["runs"]),
            ]
        )
    head = ["parallelism", "cores", "used", "rows of `features`/s", "to the first", "to the second"]
    head += ["CPU us per event", "Flink", "Kafka", "Redis", "s measured", "runs"]
    return f"Backlogs of {entry['backlog']:,} events.\n\n{table(head, rows)}"


def _rollouts(entry: Entry) -> str:
    head = ["", "simulated", "what became of them", "sample, median", "mean", "90 %"]
    cost = ["CPU us of a decision and its label, in batches of", "500", "2,000", "10,000"]
    return (
        f"{table(head, rollouts_report.simulated(entry))}\n\n"
        f"{table(cost, rollouts_report.costs(entry))}\n\n"
        f"{rollouts_report.regret_sentence(entry)}"
    )


def _recommendation(entry: Entry) -> str:
    night = table(recommendation_report.NIGHT_HEAD, recommendation_report.nights(entry))
    ranking = table(recommendation_report.RANKING_HEAD, recommendation_report.rankings(entry))
    return f"{night}\n\n{ranking}\n\n{recommendation_report.recall(entry)}"


SECTIONS: dict[str, tuple[str, Callable[[Entry], str]]] = {
    "latency": ("Event to decision", _latency),
    "stages": ("Where the time goes", _stages),
    "sustained": ("The highest rate", _sustained),
    "keys": ("Cost by number of users", _cost("users")),
    "window": ("Cost by events in a window", _cost("events_in_window", "users")),
    "features": ("Cost by number of features", _features),
    "recovery": ("After a kill -9 of the TaskManager", _recovery),
    "catchup": ("After an outage", _catchup),
    "storage": ("Bytes on disk and in memory", storage_report.text),
    "task_threads": ("The velocity job alone, by parallelism", _task_threads),
    "api": ("POST /predict", _api),
    "serving": ("Ad-hoc scores beside Feast and MLflow", _serving),
    "serving_modes": ("Batch against online", serving_modes_report.table),
    "rivals": ("Side by side", _rivals),
    "profile": ("Profiles", _profile),
    "rollouts": ("Rollouts, simulated", _rollouts),
    "batch_scoring": ("Batch scoring", batch_scoring_report.text),
    "recommendation": ("Recommendation", _recommendation),
    "churn": ("Churn online", churn_report.text),
}


if __name__ == "__main__":
    write_page(results.FILE)
