"""What was acknowledged is there after ``kill -9``, at whatever instant it comes."""

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from tests.support.raw_client import RawClient
from tests.support.server_process import ServerProcess

DOCUMENT = "survivor"
ROUNDS = 300
SERVERS = 4
"""Servers on folders of their own that are killed side by side: their start is what takes the time."""
LATEST_KILL_S = 0.02
"""After the acknowledgement; a commit takes a few milliseconds."""


@dataclass(slots=True)
class Victim:
    """One server that is killed again and again, and what it has promised."""

    server: ServerProcess
    random: Random
    promised: list[str] = field(default_factory=list)
    attempted: set[str] = field(default_factory=set)
    """Edits that were sent just before a kill: they may be there or not."""

    async def die_once(self, number: int) -> None:
        """Read everything, have one edit acknowledged, perhaps send another, kill the server, start it."""
        async with RawClient.open(self.server.ws_url(DOCUMENT)) as client:
            self.check(client.text)
            await client.append(f"<{number}>")
            await client.acknowledge()
            self.promised.append(f"<{number}>")
            if self.random.random() < 0.5:
                await client.append(f"<{number}?>")
                self.attempted.add(f"<{number}?>")
            await asyncio.sleep(self.random.uniform(0, LATEST_KILL_S))
            await asyncio.to_thread(self.server.kill)
        await asyncio.to_thread(self.server.start)

    def check(self, text: str) -> None:
        """Fail unless the text is all that was promised, in order, and else only what was attempted."""
        found = re.findall(r"<[^>]*>", text)
        assert "".join(found) == text, "an edit is there in part"
        assert [edit for edit in found if edit not in self.attempted] == self.promised

    async def die_often(self, rounds: int) -> None:
        """Go through all rounds, and read with a fresh client after the last."""
        for number in range(rounds):
            await self.die_once(number)
        async with RawClient.open(self.server.ws_url(DOCUMENT)) as reader:
            self.check(reader.text)


@pytest.mark.timeout(3_600)
async def test_acknowledged_edits_survive_300_kills(tmp_path: Path, seed: int) -> None:
    """300 times: an edit, its acknowledgement, kill -9 within 20 ms, a new server, and the edit is there."""

    async def run(index: int) -> None:
        server = ServerProcess(tmp_path / f"data {index}")
        with server:
            await Victim(server, Random(seed + index)).die_often(ROUNDS // SERVERS)

    async with asyncio.TaskGroup() as group:
        for index in range(SERVERS):
            group.create_task(run(index))
