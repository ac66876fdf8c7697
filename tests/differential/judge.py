"""Yjs itself in one Node process: says whether what Cowrite gives out is what was put in."""

import base64
import json
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.differential.generator import Case
from tests.differential.traits import DIFFERENCES
from tests.support.node import start_program

__all__ = ["Judge", "Question", "Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Question:
    """Do the updates that Cowrite gave out say what those of the case say?"""

    case: Case
    readings: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    """By name: lists of updates, each of which ought to make the document of the case."""
    diff: bytes | None = None
    """What a peer is sent that knows ``case.known``."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Yjs says of the updates of a case, and of the readings."""

    error: str | None = None
    """What it throws at the updates themselves; nothing else is said then."""
    clocks: Mapping[int, int] = field(default_factory=dict)
    is_pending: bool = False
    wrong: Sequence[Sequence[str]] = ()
    """Readings that say something else: name, what they should say, what they say."""


class Judge:
    """Asks the process one question at a time."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def ask(self, questions: Sequence[Question]) -> list[Verdict]:
        """Have Yjs read everything in ``questions``, each in documents of its own."""
        assert self._process.stdin is not None and self._process.stdout is not None
        request = [_encode(question) for question in questions]
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        assert line, "the judge ended"
        return [_decode(answer) for answer in json.loads(line)]


def _encode(question: Question) -> dict[str, Any]:
    case = question.case
    return {
        "updates": _texts(case.updates),
        "readings": {name: _texts(updates) for name, updates in question.readings.items()},
        "known": case.known,
        "diff": None if question.diff is None else _text(question.diff),
        "leniencies": sorted({each for trait in case.traits for each in DIFFERENCES.get(trait, ())}),
    }


def _decode(answer: dict[str, Any]) -> Verdict:
    if "error" in answer:
        return Verdict(error=answer["error"])
    return Verdict(None, dict(answer["clocks"]), answer["isPending"], answer["wrong"])


def _texts(updates: Sequence[bytes]) -> list[str]:
    return [_text(update) for update in updates]


def _text(update: bytes) -> str:
    return base64.b64encode(update).decode()


@asynccontextmanager
async def judge() -> AsyncIterator[Judge]:
    """Run the process for as long as the context lasts."""
    process = await start_program("../differential/judge.mjs")
    try:
        yield Judge(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
