"""The table, the picture and the page of the scenario `serving_modes`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra.local.layout import REPO

PAGE = REPO / "docs" / "serving-modes.md"
BEGIN, END = "<!-- serving_modes: begin -->", "<!-- serving_modes: end -->"
NOTHING = "Nothing has been measured yet."
PICTURE = "![Latency, rate and price of each way](benchmarks/serving_modes.svg)"
TITLES = {
    "stream": "stream",
    "http": "HTTP, one by one",
    "http_batch": "HTTP, 100 in a request",
    "embedded": "embedded, one by one",
    "embedded_batch": "embedded, 100 in a call",
    "batch": "batch on Flink",
}
COLOURS = {
    "stream": "#d07c2e",
    "http": "#3b6ea8",
    "http_batch": "#9dbbdd",
    "embedded": "#6a9a58",
    "embedded_batch": "#b5d3a8",
    "batch": "#8c8c8c",
}
Entry = dict[str, Any]


def usd_per_1000(found: dict[str, Any], core_hour_price: float) -> float:
    """What the CPU of 1,000 predictions costs, in dollars.

    Examples:
        >>> usd_per_1000({"cpu_s_per_1000": 3.6}, 0.05)
        5e-05
    """
    return float(found["cpu_s_per_1000"]) / 3_600 * core_hour_price


def rows(entry: Entry) -> list[list[str]]:
    """The cells of the table, a line for each way."""
    lines = []
    for row in entry["rows"]:
        found = row["median"]
        latency_ms = found["latency_ms"]
        seconds = found.get("seconds_by_step", {}).get("all")
        whole = f"{seconds:,.0f} s for all {found['predictions']:,}" if seconds else ""
        lines.append(
            [
                TITLES[row["mode"]],
                f"{found['predictions_per_s']:,.0f}",
                *(
                    [f"{latency_ms[name]:.2f}" for name in ("p50", "p95", "p99")]
                    if latency_ms
                    else [whole, "", ""]
                ),
                f"{found['cpu_s_per_1000']:.3f}",
                f"{usd_per_1000(found, entry['core_hour_price']):.8f}",
                f"{1_000 * usd_per_1000(found, entry['core_hour_price']):.4f}",
                str(len(row["runs"])),
            ]
        )
    return lines


def table(entry: Entry) -> str:
    """The table in Markdown, with the price that it was computed with."""
    head = ["", "predictions/s", "p50 ms", "p95 ms", "p99 ms", "CPU s per 1,000"]
    cells = [
        [*head, "USD per 1,000", "per million", "runs"],
        ["---"] * (len(head) + 3),
        *rows(entry),
    ]
    lines = "\n".join("| " + " | ".join(line) + " |" for line in cells)
    return f"{lines}\n\nA core costs {entry['core_hour_price']:g} USD an hour."


def with_figures(text: str, everything: dict[str, Entry]) -> str:
    """The page with its table and picture replaced by those of the results."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    found = NOTHING
    if "serving_modes" in everything:
        found = f"{table(everything['serving_modes'])}\n\n{PICTURE}"
    return f"{before}{BEGIN}\n\n{found}\n\n{END}{after}"


def write_page(everything: dict[str, Entry], *, beside: Path) -> None:
    """Write the figures into the page, if it is where the directory of the results belongs to."""
    page = beside.parent / PAGE.name
    if page.exists():
        text = page.read_text(encoding="utf-8")
        page.write_text(with_figures(text, everything), encoding="utf-8")


def draw(entry: Entry, axes: Any) -> None:
    """Draw the price of each way over its latency, and its rate."""
    names = [row["mode"] for row in entry["rows"]]
    places = range(len(names))
    colours = [COLOURS[name] for name in names]
    labels = [TITLES[name] for name in names]
    medians = [row["median"] for row in entry["rows"]]
    rates = [found["predictions_per_s"] for found in medians]
    bars = axes[0].barh(places, rates, color=colours)
    axes[0].bar_label(bars, fmt="{:,.0f}", fontsize=7, padding=2)
    axes[0].set(
        yticks=places, yticklabels=labels, xscale="log", xlabel="predictions/s, 2 cores at most"
    )
    axes[0].margins(x=0.15)
    axes[0].invert_yaxis()
    price = entry["core_hour_price"]
    for name, found in zip(names, medians, strict=True):
        latency_ms = found["latency_ms"]
        # No caller waits for one prediction of a batch: its place is the time of the whole run.
        seconds = found.get("seconds_by_step", {}).get("all", 0.0)
        at_ms = latency_ms.get("p50", seconds * 1_000)
        usd = usd_per_1000(found, price)
        axes[1].scatter([at_ms], [usd], color=COLOURS[name], zorder=3)
        if latency_ms:
            ends_ms = [at_ms, latency_ms["p99"]]
            axes[1].plot(ends_ms, [usd, usd], color=COLOURS[name], linewidth=1.5)
    axes[1].set(
        xscale="log",
        yscale="log",
        xlabel="ms until the prediction, p50 to p99; colours as left",
        ylabel="USD per 1,000 predictions",
    )
    axes[1].margins(0.18)
