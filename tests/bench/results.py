"""What a run found: one outcome a line in a file, and the figures of all repeats taken together."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

__all__ = ["Figure", "Outcome", "Results", "append", "read"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one measurement ended."""

    scenario: str
    system: str
    repeat: int
    took_s: float
    figures: dict[str, float] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failure: str = ""
    """Why nothing was found; empty where something was."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure over all repeats; nothing is discarded."""

    median: float
    least: float
    most: float


def append(path: Path, outcome: Outcome) -> None:
    """Add one line to a file of outcomes."""
    with path.open("a") as file:
        file.write(json.dumps(asdict(outcome)) + "\n")


def read(path: Path) -> list[Outcome]:
    """Read a file of outcomes."""
    return [Outcome(**json.loads(line)) for line in path.read_text().splitlines()]


class Results:
    """The outcomes of a run, to be asked by scenario and system."""

    def __init__(self, outcomes: Iterable[Outcome], order: Sequence[str] = ()) -> None:
        self._order = list(order)
        self._outcomes: dict[tuple[str, str], list[Outcome]] = {}
        for outcome in outcomes:
            self._outcomes.setdefault((outcome.scenario, outcome.system), []).append(outcome)

    def outcomes(self, scenario: str, system: str) -> Sequence[Outcome]:
        """Return every repeat, failed ones too."""
        return self._outcomes.get((scenario, system), [])

    def failures(self, scenario: str, system: str) -> int:
        """Return how many repeats found nothing."""
        return sum(bool(outcome.failure) for outcome in self.outcomes(scenario, system))

    def systems(self, scenario: str) -> list[str]:
        """Return who played, in the order of ``order``; whoever is not in it comes last."""
        return sorted(
            (system for played, system in self._outcomes if played == scenario),
            key=lambda system: self._order.index(system) if system in self._order else len(self._order),
        )

    def names(self, scenario: str) -> list[str]:
        """Return the names of all figures of a scenario, each once, in the order they came."""
        names = [
            name
            for system in self.systems(scenario)
            for outcome in self.outcomes(scenario, system)
            for name in outcome.figures
        ]
        return list(dict.fromkeys(names))

    def figure(self, scenario: str, system: str, name: str) -> Figure | None:
        """Return one figure, or None where no repeat found it."""
        values = [
            outcome.figures[name] for outcome in self.outcomes(scenario, system) if name in outcome.figures
        ]
        return Figure(statistics.median(values), min(values), max(values)) if values else None

    def latencies_ms(self, scenario: str, system: str) -> list[float]:
        """Return the latencies of all repeats, sorted."""
        return sorted(each for outcome in self.outcomes(scenario, system) for each in outcome.latencies_ms)

    def notes(self, scenario: str, system: str) -> list[str]:
        """Return what was noted and what failed, each sentence once, with how often where not always."""
        outcomes = self.outcomes(scenario, system)
        said = [note for outcome in outcomes for note in outcome.notes]
        said += [f"failed: {outcome.failure}" for outcome in outcomes if outcome.failure]
        return [
            note if said.count(note) == len(outcomes) else f"{note} ({said.count(note)} of {len(outcomes)})"
            for note in dict.fromkeys(said)
        ]
