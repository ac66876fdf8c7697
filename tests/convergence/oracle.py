"""Yjs itself in one Node process: writes random logs, merges updates, and says what updates amount to."""

import base64
import json
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.node import start_program

__all__ = ["Log", "Oracle", "oracle"]


@dataclass(frozen=True, slots=True)
class Log:
    """What several authors wrote, who synced with each other at random moments meanwhile."""

    seed: int
    updates: list[tuple[int, bytes]]
    """Every transaction, with its author, in the order in which they were made."""
    state: bytes
    """The whole document as Yjs encodes it."""
    json: str
    """What it amounts to, in a canonical form."""


class Oracle:
    """Asks the process one question at a time."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def write_log(self, seed: int, *, is_careless: bool = False) -> Log:
        """Make the log of this seed: always the same one. Careless authors split surrogate pairs."""
        answer = await self._ask({"seed": seed, "isCareless": is_careless})
        updates = [(author, base64.b64decode(update)) for author, update in answer["updates"]]
        return Log(seed, updates, base64.b64decode(answer["state"]), answer["json"])

    async def judge(self, documents: Sequence[Sequence[bytes]]) -> list[str | None]:
        """Load each list of updates into a fresh Y.Doc; None for one in which anything stays pending."""
        answer = await self._ask({"documents": [_texts(updates) for updates in documents]})
        jsons: list[str | None] = answer["jsons"]
        return jsons

    async def merge(self, groups: Sequence[Sequence[bytes]]) -> list[bytes]:
        """Merge each group as a client does: what is missing in between becomes a gap."""
        answer = await self._ask({"merge": [_texts(updates) for updates in groups]})
        return [base64.b64decode(update) for update in answer["merged"]]

    async def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        assert line, "the oracle ended"
        return json.loads(line)


def _texts(updates: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(update).decode() for update in updates]


@asynccontextmanager
async def oracle() -> AsyncIterator[Oracle]:
    """Run the process for as long as the context lasts."""
    process = await start_program("../convergence/oracle.mjs")
    try:
        yield Oracle(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
