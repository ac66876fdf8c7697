"""Measure Cowrite and its peers in turns, each time in a process of its own: ``python -m tests.bench``.

Only this starts measurements, one at a time; it measures nothing itself and sleeps meanwhile.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import FrameType

from tests.bench.machine import describe, revision
from tests.bench.report import write_report
from tests.bench.results import Outcome, Results, append, read
from tests.bench.scenarios import SCENARIOS, Scenario
from tests.bench.summary import write_summary
from tests.bench.systems import SYSTEMS
from tests.bench.targets import OURS

REPEATS = 5
CHECK = "truth"
"""The scenario that checks the generator."""
OUTCOMES, MACHINE = "outcomes.jsonl", "machine.txt"
NOBODY = "none"
OUTPUT = Path("build/bench")
WHOLE, PART = OUTPUT / "whole", OUTPUT / "part"
"""Where the outcomes of a run are kept: one that measures everything, and one that measures a part."""
PUBLISHED = Path("tests/bench")
"""Where the report of a whole run goes."""
README = Path("README.md")


@dataclass(frozen=True, slots=True)
class Turn:
    """One measurement to come."""

    scenario: Scenario
    system: str
    repeat: int


@dataclass
class Clock:
    """What measurements took, to say how long the rest will."""

    took_s: dict[tuple[str, str], float] = field(default_factory=dict)

    def learn(self, outcome: Outcome) -> None:
        """Take one more into account."""
        self.took_s[outcome.scenario, outcome.system] = outcome.took_s

    def left_s(self, turns: Sequence[Turn]) -> float:
        """Estimate how long ``turns`` take: as long as the last time, or as what was measured so far."""
        usual = sum(self.took_s.values()) / len(self.took_s) if self.took_s else 0.0
        return sum(self.took_s.get((turn.scenario.name, turn.system), usual) for turn in turns)


def turns(scenarios: Sequence[str], systems: Sequence[str], repeats: int) -> Iterator[Turn]:
    """Order the measurements: every scenario by everybody, and again with another one first.

    So drift, and what one leaves to the next, meets all alike.
    """
    for repeat in range(1, repeats + 1):
        first = repeat % len(systems)
        for name in scenarios:
            for system in [*systems[first:], *systems[:first]]:
                if SCENARIOS[name].plays(SYSTEMS[system]):
                    yield Turn(SCENARIOS[name], system, repeat)


def take(turn: Turn) -> Outcome:
    """Measure once; whatever happens, no process of it is left."""
    started = time.monotonic()
    command = [sys.executable, "-m", "tests.bench.measure", turn.scenario.name, turn.system]
    # In a session of its own: Ctrl-C reaches it from here, together with the servers.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    figures, failure = "{}", ""
    try:
        output, errors = process.communicate(timeout=turn.scenario.timeout_s)
        if process.returncode == 0:
            figures = output.splitlines()[-1]
        else:
            failure = (errors.strip().splitlines() or [f"ended with {process.returncode}"])[-1]
    except subprocess.TimeoutExpired:
        failure = f"not done after {turn.scenario.timeout_s:g} s"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return Outcome(
        turn.scenario.name,
        turn.system,
        turn.repeat,
        time.monotonic() - started,
        failure=failure,
        **json.loads(figures),
    )


def line(turn: Turn, outcome: Outcome, left_s: float) -> str:
    """Say in one line what was found and how long the rest takes."""
    found = outcome.failure and f"failed: {outcome.failure[:100]}"
    if not found:
        found = f"{outcome.figures[turn.scenario.main]:12,.2f} {turn.scenario.unit}"
    return (
        f"{turn.repeat}  {turn.scenario.name:12} {turn.system:17} {found}  "
        f"[{outcome.took_s:.0f} s; {left_s / 60:.0f} min left]"
    )


def run(all_turns: Sequence[Turn], folder: Path, *, resume: bool) -> None:
    """Take all measurements, and write each outcome down as it comes.

    ``resume`` where those of a run that was stopped are to be kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = folder / OUTCOMES
    if resume and outcomes.exists():
        with (folder / MACHINE).open("a") as machine:
            machine.write(f"\nresumed with Cowrite at {revision()}")
    else:
        outcomes.write_text("")
        (folder / MACHINE).write_text("\n".join(describe(date.today().isoformat())))
    clock = Clock()
    taken = set()
    for outcome in read(outcomes):
        clock.learn(outcome)
        taken.add((outcome.scenario, outcome.system, outcome.repeat))
    left = [turn for turn in all_turns if (turn.scenario.name, turn.system, turn.repeat) not in taken]
    for number, turn in enumerate(left, start=1):
        outcome = take(turn)
        append(outcomes, outcome)
        clock.learn(outcome)
        print(line(turn, outcome, clock.left_s(left[number:])), flush=True)


def interrupt(signal_number: int, frame: FrameType | None) -> None:
    """Treat SIGTERM as Ctrl-C."""
    raise KeyboardInterrupt


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    peers = [name for name in SYSTEMS if name != OURS]
    parser.add_argument("--scenarios", nargs="*", choices=list(SCENARIOS), help="all by default")
    parser.add_argument("--peers", nargs="*", choices=[*peers, NOBODY], help="all by default")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--resume", action="store_true", help="go on with a run of these that was stopped")
    parser.add_argument("--report", action="store_true", help="measure nothing, report that run again")
    return parser.parse_args()


def main() -> int:
    """Measure, then report: a whole run where the repository shows it, a part of it in ``build/bench``.

    Returns 1 where a measurement of Cowrite, or a check of what is measured, has failed.
    """
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, interrupt)
    asked = arguments()
    is_whole = not asked.scenarios and not asked.peers and asked.repeats >= REPEATS
    kept, folder = (WHOLE, PUBLISHED) if is_whole else (PART, OUTPUT)
    systems = [OURS, *(name for name in SYSTEMS if name != OURS and name in (asked.peers or SYSTEMS))]
    try:
        if not asked.report:
            wanted = turns(asked.scenarios or list(SCENARIOS), systems, asked.repeats)
            run(list(wanted), kept, resume=asked.resume)
    except KeyboardInterrupt:
        print("Stopped; no report was written. With --resume it goes on.", file=sys.stderr)
        return 130
    if not (kept / OUTCOMES).exists():
        print("There is no such run to report.", file=sys.stderr)
        return 1
    outcomes = read(kept / OUTCOMES)
    results = Results(outcomes, list(SYSTEMS))
    print(write_report(folder, results, SCENARIOS, (kept / MACHINE).read_text().splitlines()))
    print(f"\nThe report is in {folder / 'RESULTS.md'}.")
    if is_whole:
        write_summary(README, results, SCENARIOS)
    failures = [each for each in outcomes if each.failure and (each.system == OURS or each.scenario == CHECK)]
    for each in failures:
        print(f"{each.scenario}, {each.system}, {each.repeat}: {each.failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
