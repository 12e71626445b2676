"""Pictures of the results, as SVG. Called by `report`; draws what `results.json` says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from tests.bench import serving_modes_report
from tests.bench.rollouts_report import draw_regret

Entry = dict[str, Any]
PROGRAMS = {
    "kafka": "#8c8c8c",
    "taskmanager": "#3b6ea8",
    "jobmanager": "#9dbbdd",
    "scorer": "#d07c2e",
    "redis": "#b5473c",
}
OTHERS = "#c9c9c9"
STAGE_COLOURS = ("#8c8c8c", "#3b6ea8", "#9dbbdd", "#d07c2e", "#b5473c", "#6a9a58")


def draw(everything: dict[str, Entry], directory: Path) -> list[Path]:
    """Draw every scenario that has a picture; gives the files."""
    plt.rcParams.update(
        {
            "svg.hashsalt": "weir",
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "figure.constrained_layout.use": True,
        }
    )
    files = []
    for name, (width, picture) in PICTURES.items():
        if name not in everything:
            continue
        figure, axes = plt.subplots(1, width, figsize=(4.6 * width, 3.2), squeeze=False)
        picture(everything[name], axes[0])
        file = directory / f"{name}.svg"
        figure.savefig(file, metadata={"Date": None})
        plt.close(figure)
        files.append(file)
    return files


def _latency(entry: Entry, axes: Any) -> None:
    rows = entry["rows"]
    labels = [f"{row['rate_per_s']:,.0f}/s" for row in rows]
    for number, (name, shown) in enumerate((("p50", "p50"), ("p99", "p99"), ("p99_9", "p99.9"))):
        places = [at + 0.26 * (number - 1) for at in range(len(rows))]
        values = [row["median"]["latency_ms"].get(name, 0) for row in rows]
        bars = axes[0].bar(places, values, 0.24, label=shown)
        axes[0].bar_label(bars, fmt="%.3g", fontsize=7)
    axes[0].set(xticks=range(len(rows)), xticklabels=labels, yscale="log", ylabel="ms")
    axes[0].set_ylim(bottom=1)
    axes[0].set_title("event to decision, open loop")
    axes[0].legend(frameon=False)
    _cpu_bars(axes[1], labels, [row["median"]["cpu_us_per_event"] for row in rows])


def _cpu_bars(axis: Axes, labels: list[str], used: list[dict[str, float]]) -> None:
    beside = ("mlflow", "api", "sender", "watcher")
    names = list(dict.fromkeys(name for each in used for name in each))
    below = [0.0] * len(used)
    for name in sorted(names, key=lambda each: [*PROGRAMS, each].index(each)):
        if name in beside:
            continue
        values = [each.get(name, 0.0) for each in used]
        axis.bar(labels, values, 0.6, bottom=below, label=name, color=PROGRAMS.get(name, OTHERS))
        below = [low + value for low, value in zip(below, values, strict=True)]
    axis.set(ylabel="us of CPU an event", title="CPU by program")
    axis.margins(x=0.35 / len(labels))
    axis.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))


def _stages(entry: Entry, axes: Any) -> None:
    """A waterfall: each stage begins where the one before it ended, on average."""
    for axis in axes[len(entry["rows"]) :]:
        axis.set_visible(False)
    for axis, row in zip(axes, entry["rows"], strict=False):
        stages = row["median"]["stages_ms"]
        begin = 0.0
        for at, stage in enumerate(stages.values()):
            axis.barh(at, stage["mean"], left=begin, color=STAGE_COLOURS[at % len(STAGE_COLOURS)])
            axis.text(begin + stage["mean"], at, f" {stage['mean']:.1f}", va="center", fontsize=7)
            begin += stage["mean"]
        axis.set(yticks=range(len(stages)), yticklabels=list(stages), xlabel="ms, mean")
        axis.set_xlim(0, begin * 1.12)
        axis.invert_yaxis()
        axis.set_title(f"{row['rate_per_s']:,.0f} events/s")


def _cost(name: str) -> Callable[[Entry, Any], None]:
    def picture(entry: Entry, axes: Any) -> None:
        rows = entry["rows"]
        labels = [
            f"{row[name]:,}" if isinstance(row[name], int) else "hot key 20 %" for row in rows
        ]
        _cpu_bars(axes[0], labels, [row["median"]["cpu_us_per_event"] for row in rows])
        axes[0].set_xlabel(name.replace("_", " "))

    return picture


def _rivals(entry: Entry, axes: Any) -> None:
    rows = entry["rows"]
    names = [row["system"] for row in rows]
    colours = ["#3b6ea8" if name == "weir" else OTHERS for name in names]
    rates = [row["median"]["drain"]["decided_per_s"] for row in rows]
    bars = axes[0].barh(names, rates, color=colours)
    axes[0].bar_label(bars, fmt="%.0f", fontsize=7)
    axes[0].set(xlabel="decisions/s", title="a backlog")
    own = [row["median"]["drain"]["system_us_per_event"] for row in rows]
    bars = axes[1].barh(names, own, color=colours)
    axes[1].bar_label(bars, fmt="%.0f", fontsize=7)
    axes[1].set(xlabel="us of CPU an event, without Kafka", title="cost")
    for axis in axes:
        axis.invert_yaxis()


PICTURES: dict[str, tuple[int, Callable[[Entry, Any], None]]] = {
    "latency": (2, _latency),
    "stages": (2, _stages),
    "keys": (1, _cost("users")),
    "window": (1, _cost("events_in_window")),
    "rivals": (2, _rivals),
    "rollouts": (1, draw_regret),
    "serving_modes": (2, serving_modes_report.draw),
}
