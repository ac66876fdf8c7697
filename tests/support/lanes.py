"""Run the test folders in lanes, side by side, and close with one count for all of them.

A lane is one test runner that writes a JUnit report. Its output goes to a log that is printed whole
when the lane ends, so that two lanes never mix. Knows nothing of what the tests test.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from xml.etree import ElementTree

PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junitxml={report}")
VITEST = ("npm", "--prefix", "frontend-demo", "test", "--", "--reporter=default", "--reporter=junit")

CHAOS = (
    "tests/faults/test_chaos.py",
    "tests/faults/test_compaction_between_nodes.py",
)
"""The faults that take as long as all the others."""

FOLDERS = ("interop", "faults", "differential")
"""Those that have lanes of their own."""

LANES = {
    "interop": ("tests/interop", [*PYTEST, "tests/interop"]),
    "chaos": ("tests/faults", [*PYTEST, *CHAOS]),
    "faults": ("tests/faults", [*PYTEST, "tests/faults", *(f"--ignore={path}" for path in CHAOS)]),
    "differential": ("tests/differential", [*PYTEST, "tests/differential"]),
    "rest": ("tests", [*PYTEST, "tests", *(f"--ignore=tests/{folder}" for folder in FOLDERS)]),
    "page": ("frontend-demo/node_modules", [*VITEST, "--outputFile.junit={report}"]),
}
"""By name: the folder without which the lane is left out, and its command.

``rest`` takes every folder of ``tests`` that no other lane names, so that none is forgotten.
"""

OUTPUT = Path("build/tests").resolve()
STOP_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Tally:
    """How many tests ended how; an error counts as failed."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


@dataclass(frozen=True, slots=True)
class Lane:
    """One running test runner."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    report: Path
    started: float
    """Monotonic, in seconds."""


def start(name: str, command: Sequence[str]) -> Lane:
    """Start one lane, in a session of its own: Ctrl-C reaches it once, from here."""
    log, report = OUTPUT / f"{name}.log", OUTPUT / f"{name}.xml"
    report.unlink(missing_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [word.format(report=report) for word in command],
            env=os.environ | {"NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    print(f"lane {name}: started, writes {log}", flush=True)
    return Lane(name, process, log, report, time.monotonic())


def finish(lane: Lane) -> Tally:
    """Print what an ended lane wrote and count its tests.

    A lane that failed as a whole (no tests, a crash, a wrong option) counts as one failure more.
    """
    duration_s = time.monotonic() - lane.started
    tally, code = count(lane.report), lane.process.returncode
    print(f"\nlane {lane.name}: {duration_s:.0f} s, exit code {code}", flush=True)
    sys.stdout.buffer.write(lane.log.read_bytes())
    sys.stdout.buffer.flush()
    return tally + Tally(failed=1) if code and not tally.failed else tally


def count(report: Path) -> Tally:
    """Count the test cases of a JUnit report; one that was never written counts nothing."""
    if not report.exists():
        return Tally()
    tally = Tally()
    for case in ElementTree.parse(report).iter("testcase"):
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"}:
            tally += Tally(failed=1)
        elif "skipped" in outcomes:
            tally += Tally(skipped=1)
        else:
            tally += Tally(passed=1)
    return tally


def wait(lanes: Sequence[Lane]) -> Tally:
    """Wait for all lanes and print each as it ends."""
    running, tally = list(lanes), Tally()
    while running:
        time.sleep(0.1)
        for lane in [lane for lane in running if lane.process.poll() is not None]:
            running.remove(lane)
            tally += finish(lane)
    return tally


def stop(lanes: Sequence[Lane]) -> None:
    """Interrupt the lanes that still run, let their tests clean up, and kill what stays."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    running = [lane for lane in lanes if lane.process.poll() is None]
    for lane in running:
        lane.process.send_signal(signal.SIGINT)
    for lane in running:
        try:
            lane.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(lane.process.pid, signal.SIGKILL)
            lane.process.wait()
        finish(lane)


def interrupt(signal_number: int, frame: FrameType | None) -> None:
    """Treat SIGTERM as Ctrl-C."""
    raise KeyboardInterrupt


def main() -> int:
    """Run every lane whose folder exists; 0 when all tests passed or were skipped."""
    signal.signal(signal.SIGTERM, interrupt)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    lanes: list[Lane] = []
    try:
        lanes.extend(
            start(name, command) for name, (folder, command) in LANES.items() if Path(folder).exists()
        )
        tally = wait(lanes)
    except KeyboardInterrupt:
        stop(lanes)
        return 130
    print(f"\n{tally}", flush=True)
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
