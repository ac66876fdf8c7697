"""One measurement: ``python -m tests.bench.measure SCENARIO SYSTEM``.

Prints what was found as JSON, in the last line; exits 1 with the reason in the last line of the errors. The
servers' logs and data are in ``build/bench/data``, and stay there when it failed.
"""

import gc
import json
import os
import resource
import shutil
import sys
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import uvloop

from tests.bench.process import own_core
from tests.bench.scenarios import SCENARIOS
from tests.bench.systems import SYSTEMS, Measured

DATA = Path("build/bench/data")
"""On the disk of the repository: ``/tmp`` may be memory, where a commit costs nothing."""


def measure(scenario: str, system: str) -> Measured:
    """Run one scenario on one system, from the core of the load generator."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.sched_setaffinity(0, own_core())
    # What is measured last for seconds; a collection among the clients' documents would show in latencies.
    gc.disable()
    folder = DATA.resolve() / f"{scenario}-{system}-{os.getpid()}"
    folder.mkdir(parents=True)
    measured = uvloop.run(_run(scenario, system, folder))
    shutil.rmtree(folder, ignore_errors=True)
    return measured


async def _run(scenario: str, system: str, folder: Path) -> Measured:
    return await SCENARIOS[scenario].run(SYSTEMS[system], folder)


def reasons(error: BaseException) -> Iterator[str]:
    """Say what happened in a line each; of a group, what happened to its members."""
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from reasons(member)
        return
    yield " ".join(f"{type(error).__name__}: {error}".split())


def main() -> int:
    """Measure what the arguments name."""
    try:
        measured = measure(*sys.argv[1:3])
    except Exception as error:
        traceback.print_exc()
        print("; ".join(dict.fromkeys(reasons(error))), file=sys.stderr)
        return 1
    print(json.dumps(asdict(measured) | {"latencies_ms": [round(each, 3) for each in measured.latencies_ms]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
