"""The table of the README: what the last whole run found, in a few rows."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.bench.report import Described, row, shown
from tests.bench.results import Results
from tests.bench.targets import OURS, PEERS, best_peer

__all__ = ["write_summary"]

BEGIN, END = "<!-- measured: make bench writes this table -->", "<!-- end of the table -->"
SHOWN = (
    ("fan500", "cpu_us_per_delivery", "µs of CPU for each edit and reader"),
    ("busy100", "cpu_us_per_delivery", "µs of CPU for each edit and reader"),
    ("busy100", "p99_ms", "ms from the edit to the screen, 99th percentile"),
    ("presence300", "cpu_us_per_delivery", "µs of CPU for each move and reader"),
    ("join4", "synced_s", "seconds until all are synced"),
    ("join4", "peak_mb", "MB of memory at most"),
    ("reconnect", "synced_s", "seconds until all are synced"),
    ("idle", "kb_per_connection", "KB of memory for each connection"),
    ("replay", "updates_per_s", "edits a second"),
)
"""Scenario, figure, and what it counts."""


def write_summary(path: Path, results: Results, scenarios: Mapping[str, Described]) -> None:
    """Replace the table between the two marks of a file; raises ValueError where they are not there."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{path} has no place for the table")
    table = "\n".join(summary(results, scenarios))
    path.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}")


def summary(results: Results, scenarios: Mapping[str, Described]) -> Iterator[str]:
    """Yield the rows: medians of everybody, and Cowrite's as a ratio to the best peer's."""
    yield row("what happens", "counted", OURS, *PEERS, "ratio to the best")
    yield row("---", "---", *["---:"] * (len(PEERS) + 2))
    for scenario, figure, counted in SHOWN:
        found = [results.figure(scenario, system, figure) for system in (OURS, *PEERS)]
        best = best_peer(results, scenario, figure)
        ratio = shown(found[0].median / best[1]) if found[0] and best and best[1] else "–"
        medians = [shown(each.median) if each else "failed" for each in found]
        yield row(scenarios[scenario].title, counted, *medians, ratio)
