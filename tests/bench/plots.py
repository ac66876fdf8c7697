"""The plots beside RESULTS.md: SVG files that are the same bytes for the same figures.

Nothing is drawn behind them and their text is grey, so that they read on light and on dark pages.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot
from matplotlib.axes import Axes

from tests.bench.results import Results

__all__ = ["draw"]

COLOURS = {
    "cowrite": "#e4572e",
    "y-websocket": "#3d8bd4",
    "hocuspocus": "#2fa56f",
    "pycrdt-websocket": "#9b6bd3",
    "bare": "#8a8a8a",
}
GREY = "#808080"
POINTS = 200
"""A distribution is drawn through so many quantiles."""
RARE = 3
"""It ends where one edit of 10 to the power of so many takes longer."""


def draw(folder: Path, results: Results, scenarios: Sequence[str]) -> dict[str, str]:
    """Draw all that the results have figures for, and return what each plot shows, by its name."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    drawn = {}
    for scenario in scenarios:
        if any(results.latencies_ms(scenario, system) for system in results.systems(scenario)):
            name = f"latency_{scenario}"
            drawn[name] = f"Latency of {scenario}: share of edits that take longer than so many milliseconds"
            _latency(folder / f"{name}.svg", results, scenario)
    for name, pattern, what in GROWTHS:
        if _has_growth(results, pattern):
            drawn[name] = what
            _growth(folder / f"{name}.svg", results, pattern, what)
    if panels := [panel for panel in MEMORY if panel[0] in scenarios]:
        drawn["memory"] = "Memory: " + " and ".join(title for _, _, title in panels)
        _memory(folder / "memory.svg", results, panels)
    return drawn


GROWTHS = (
    ("growth_people", r"cpu_us_per_delivery_(\d+)", "Server CPU µs per delivery, by people in one room"),
    ("growth_rooms", r"rooms_(\d+)", "Server CPU µs per update, by number of rooms"),
)

MEMORY = (
    ("join4", "peak_mb", "MB at most while 150 people join 4 MB"),
    ("idle", "kb_per_connection", "KB for each idle connection"),
)


@contextmanager
def _axes(path: Path, count: int = 1) -> Iterator[Sequence[Axes]]:
    with matplotlib.rc_context(
        {
            "svg.hashsalt": "cowrite",
            # Text stays text: a fraction of the size, and the page's own font.
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "font.size": 9,
            "axes.edgecolor": GREY,
            "axes.labelcolor": GREY,
            "text.color": GREY,
            "xtick.color": GREY,
            "ytick.color": GREY,
            "grid.color": GREY,
            "grid.alpha": 0.3,
            "legend.frameon": False,
        }
    ):
        figure, grid = pyplot.subplots(1, count, figsize=(7, 3.2), layout="constrained", squeeze=False)
        yield list(grid[0])
        figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)


def _latency(path: Path, results: Results, scenario: str) -> None:
    with _axes(path) as (axes,):
        for system in results.systems(scenario):
            if latencies := results.latencies_ms(scenario, system):
                last = len(latencies) - 1
                slower = [10 ** (-RARE * point / POINTS) for point in range(POINTS + 1)]
                values = [max(latencies[round((1 - share) * last)], 0.01) for share in slower]
                axes.plot(values, [100 * share for share in slower], label=system, color=COLOURS[system])
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("ms from the edit to the screen")
        axes.set_ylabel("% of edits that take longer")
        axes.grid(visible=True)
        axes.legend()


def _points(results: Results, system: str, pattern: str) -> list[tuple[int, float]]:
    return sorted(
        (int(match[1]), figure.median)
        for name in results.names("growth")
        if (match := re.fullmatch(pattern, name)) and (figure := results.figure("growth", system, name))
    )


def _has_growth(results: Results, pattern: str) -> bool:
    return any(_points(results, system, pattern) for system in results.systems("growth"))


def _growth(path: Path, results: Results, pattern: str, what: str) -> None:
    with _axes(path) as (axes,):
        for system in results.systems("growth"):
            if points := _points(results, system, pattern):
                sizes, costs = zip(*points, strict=True)
                axes.plot(sizes, costs, marker="o", markersize=4, label=system, color=COLOURS[system])
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(what.rpartition("by ")[2])
        axes.set_ylabel(what.partition(",")[0])
        axes.grid(visible=True)
        axes.legend()


def _memory(path: Path, results: Results, panels: Sequence[tuple[str, str, str]]) -> None:
    with _axes(path, len(panels)) as grid:
        for axes, (scenario, name, title) in zip(grid, panels, strict=True):
            found = [
                (system, figure.median)
                for system in results.systems(scenario)
                if (figure := results.figure(scenario, system, name))
            ]
            bars = axes.barh(
                [system for system, _ in found],
                [median for _, median in found],
                color=[COLOURS[system] for system, _ in found],
            )
            axes.bar_label(bars, fmt="%.3g", padding=3)
            axes.margins(x=0.2)
            axes.invert_yaxis()
            axes.set_title(title, fontsize=9)
