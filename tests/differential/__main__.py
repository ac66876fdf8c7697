"""Examines updates: ``python -m tests.differential SEED FIRST COUNT [PROGRESS]``, or ``NAME``, a case.

A program of its own, so that a crash of the process is a failed test and not the end of the run. Prints
what failed, at most three cases of a kind, and returns 1 when anything did. The file PROGRESS says which
case is at hand.
"""

import asyncio
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.differential.cases import ENDED_THE_PROCESS, FOUND
from tests.differential.examination import Failure, examine
from tests.differential.generator import Case, generate
from tests.differential.judge import judge

MESSAGE = 500
"""Cases that are sent to Yjs at once."""
SHOWN = 3


def batches(arguments: Sequence[str]) -> Iterator[list[Case]]:
    """Yield the cases that the arguments name."""
    if len(arguments) == 1:
        yield [{case.name: case for case in (*FOUND, *ENDED_THE_PROCESS)}[arguments[0]]]
        return
    seed, first, count = map(int, arguments[:3])
    for start in range(first, first + count, MESSAGE):
        yield [generate(seed, number) for number in range(start, min(start + MESSAGE, first + count))]


async def main(arguments: Sequence[str], progress: int) -> int:
    """Examine the cases and print what failed; ``progress`` is a file descriptor."""
    failures: dict[str, list[Failure]] = defaultdict(list)
    async with judge() as yjs:
        for cases in batches(arguments):
            for failure in await examine(cases, yjs, lambda case: os.pwrite(progress, _line(case), 0)):
                failures[failure.kind].append(failure)
    kinds = sorted(failures, key=lambda kind: -len(failures[kind]))
    print(*(f"{len(failures[kind])} times: {kind}" for kind in kinds), sep="\n")
    for kind in kinds:
        shortest = sorted(failures[kind], key=lambda failure: sum(map(len, failure.case.updates)))
        print("", kind, *shortest[:SHOWN], sep="\n")
    return 1 if failures else 0


def _line(case: Case) -> bytes:
    return f"{case.name:<60}\n".encode()


if __name__ == "__main__":
    with open(sys.argv[4] if len(sys.argv) > 4 else os.devnull, "wb") as file:
        sys.exit(asyncio.run(main(sys.argv[1:], file.fileno())))
