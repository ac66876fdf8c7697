"""RESULTS.md: what a run found, in tables. Knows how to say it, not how it was measured."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.bench.missed import MISSED
from tests.bench.results import Figure, Results
from tests.bench.targets import OURS, TARGETS, Rule, Target, Verdict, best_peer, judge

__all__ = ["Described", "compared", "row", "shown", "write_report"]

NOTHING = "–"
HOW = """\
Every measurement starts the server anew, pinned to one core, and loads it from another process on another
core, which speaks the protocol itself; `generator_share` says how much of that core it used. Where several
processes serve (*cross*, two workers of *mixed*), they share what cores there are. Systems take turns; a
figure is the median of all repeats, with the least and the most behind it, and nothing is discarded. CPU is
what the server's processes used, by the kernel's account. A *delivery* is one update that reached one reader,
counted as updates × readers, whatever number of frames carried them. Latency is from the writer's send
until a probe has applied the edit to its document; one probe joined first and one last, and the other
readers count bytes. Edits are single characters, made beforehand. Cowrite stores every edit in SQLite and
acknowledges it after `fsync`; Hocuspocus writes to SQLite 2 to 10 s later; y-websocket and pycrdt-websocket
keep documents in memory, and *bare* is a broadcast without any document. No log is folded while a window of
some seconds is open. *cold* reads from the page cache. The `load` of *mixed* is no load that was carried: it
is how many updates a second would fill two cores, at the CPU that all processes used, Redis's too, and with
no process on more than one core. Figures move with the machine: compare them
within one run."""


class Described(Protocol):
    """What a report says about a scenario."""

    @property
    def title(self) -> str:
        """What happens, in a line."""
        ...

    @property
    def main(self) -> str:
        """The name of the figure that is compared."""
        ...

    @property
    def unit(self) -> str:
        """What that figure counts."""
        ...


def write_report(
    folder: Path, results: Results, scenarios: Mapping[str, Described], machine: Sequence[str]
) -> str:
    """Write ``RESULTS.md`` and its plots into ``folder``, replacing older ones, and return the main table."""
    # Only who draws needs matplotlib.
    from tests.bench.plots import draw

    played = {name: scenario for name, scenario in scenarios.items() if results.systems(name)}
    systems = list(dict.fromkeys(system for name in played for system in results.systems(name)))
    table = "\n".join(compared(results, played, systems))
    plots = draw(folder / "plots", results, list(played))
    parts = [
        "# Results",
        "Written by `make bench`; see [README.md](README.md).",
        "\n".join(f"- {sentence}" for sentence in machine),
        HOW,
        table,
        "## Targets",
        "\n".join(_targets(results, played)),
        *(["### Missed", missed] if (missed := "\n".join(_reasons(results, played))) else []),
        *[plot for name in ("memory", "growth_people", "growth_rooms") if (plot := _plot(plots, name))],
    ]
    for name, scenario in played.items():
        parts += _section(results, name, scenario, plots)
    (folder / "RESULTS.md").write_text("\n\n".join(parts) + "\n")
    return table


def compared(results: Results, scenarios: Mapping[str, Described], systems: Sequence[str]) -> Iterator[str]:
    """Yield the main table: a row for each scenario, with the median of its main figure."""
    yield row("scenario", "unit", *systems, "Cowrite / best peer", "target", "met")
    yield row("---", "---", *["---:"] * (len(systems) + 1), "---", "---")
    for name, scenario in scenarios.items():
        medians = [
            _with_failures(results, name, system, shown(figure.median) if figure else "")
            for system in systems
            for figure in [results.figure(name, system, scenario.main)]
        ]
        verdicts = [
            judge(results, target)
            for target in TARGETS
            if (target.scenario, target.figure) == (name, scenario.main)
        ]
        targets = "; ".join(str(verdict.target) for verdict in verdicts) or NOTHING
        met = "; ".join(_met(verdict) for verdict in verdicts) or NOTHING
        yield row(f"`{name}`", scenario.unit, *medians, _ratio(results, name, scenario.main), targets, met)


def shown(value: float) -> str:
    """Write a figure with about three digits that count."""
    for limit, digits in ((100, 0), (10, 1), (1, 2)):
        if abs(value) >= limit:
            return f"{value:,.{digits}f}"
    return f"{value:.3f}" if value else "0"


def _ratio(results: Results, scenario: str, figure: str) -> str:
    ours, best = results.figure(scenario, OURS, figure), best_peer(results, scenario, figure)
    if ours is None or best is None or not best[1]:
        return NOTHING
    return f"{shown(ours.median / best[1])} ({best[0]})"


def _targets(results: Results, scenarios: Mapping[str, Described]) -> Iterator[str]:
    yield row("scenario", "figure", "target", "found", "met")
    yield row("---", "---", "---", "---:", "---")
    for target in _applying(scenarios):
        verdict = judge(results, target)
        found = NOTHING if verdict.value is None else _found(target, verdict.value)
        yield row(f"`{target.scenario}`", f"`{target.figure}`", str(target), found, _met(verdict))


def _applying(scenarios: Mapping[str, Described]) -> list[Target]:
    return [target for target in TARGETS if target.scenario in scenarios]


def _reasons(results: Results, scenarios: Mapping[str, Described]) -> Iterator[str]:
    """Yield what is known of the targets that were missed; nothing is known of one that is new."""
    for target in _applying(scenarios):
        if not judge(results, target).is_met:
            reason = MISSED.get((target.scenario, target.figure), "Not looked into yet.")
            yield f"- `{target.scenario}`, `{target.figure}` {target}: {reason}"


def _found(target: Target, value: float) -> str:
    if target.rule in (Rule.EXCESS, Rule.OWN_EXCESS):
        return f"{'+' if value >= 0 else '−'} {shown(abs(value))}"
    return shown(value) if target.rule is Rule.ALONE else f"× {shown(value)}"


def _met(verdict: Verdict) -> str:
    if verdict.failures:
        return "**failed**"
    if verdict.value is None:
        return "not measured"
    return "yes" if verdict.is_met else "**no**"


def _with_failures(results: Results, scenario: str, system: str, figure: str) -> str:
    failures, repeats = results.failures(scenario, system), len(results.outcomes(scenario, system))
    if not failures:
        return figure or NOTHING
    return f"{figure} ({failures} of {repeats} failed)" if figure else "failed"


def _section(results: Results, name: str, scenario: Described, plots: Mapping[str, str]) -> Iterator[str]:
    systems = results.systems(name)
    yield f"## {name}"
    yield f"{scenario.title[:1].upper()}{scenario.title[1:]}."
    rows = [row("figure", *systems), row("---", *["---:"] * len(systems))]
    rows += [
        row(f"`{figure}`", *[_spread(results.figure(name, system, figure)) for system in systems])
        for figure in results.names(name)
    ]
    latencies = [results.latencies_ms(name, system) for system in systems]
    if any(latencies):
        rows.append(row("slowest of all, ms", *[shown(each[-1]) if each else NOTHING for each in latencies]))
    yield "\n".join(rows)
    notes = [f"- {system}: {note}" for system in systems for note in results.notes(name, system)]
    if notes:
        yield "\n".join(notes)
    if plot := _plot(plots, f"latency_{name}"):
        yield plot


def _spread(figure: Figure | None) -> str:
    if figure is None:
        return NOTHING
    return f"{shown(figure.median)} ({shown(figure.least)}–{shown(figure.most)})"


def _plot(plots: Mapping[str, str], name: str) -> str:
    return f"![{plots[name]}](plots/{name}.svg)" if name in plots else ""


def row(*cells: str) -> str:
    """Return one row of a table."""
    return f"| {' | '.join(cells)} |"
