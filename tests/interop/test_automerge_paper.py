"""One author writes a whole paper while the server is killed under the author's hands, five times."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from tests.support.clients import NodeClients, Patch, StockClient
from tests.support.polling import PATIENCE_S
from tests.support.raw_client import RawClient
from tests.support.server_process import COWRITE, ServerProcess
from tests.support.traces import AUTOMERGE_PAPER, load_sequential

DOCUMENT = "paper"
KILLS = 5
EDITS_UNDER_FIRE = 3_000
"""How many edits are on their way while the server is killed."""
LATEST_KILL_S = 0.15
ACKNOWLEDGE_EVERY = 1_000
MEMORY_LIMIT_BYTES = 250_000_000
LOG_LIMIT_BYTES = 40_000_000
COMPACTED_LIMIT_BYTES = 3_000_000
END: Patch = (0, 0, "")
"""What comes after the last edit: the text as it is then is looked at too."""


@dataclass(slots=True)
class Peak:
    """The most that a server used while it was watched."""

    memory_bytes: int = 0
    stored_bytes: int = 0


@asynccontextmanager
async def watched(server: ServerProcess) -> AsyncIterator[Peak]:
    """Look four times a second at what the server and its children use."""
    peak = Peak()

    async def look() -> None:
        while True:
            peak.memory_bytes = max(peak.memory_bytes, await asyncio.to_thread(server.rss_bytes))
            peak.stored_bytes = max(peak.stored_bytes, stored_bytes(server.data))
            await asyncio.sleep(0.25)

    looking = asyncio.create_task(look())
    try:
        yield peak
    finally:
        looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking


@dataclass(slots=True)
class Author:
    """The one who writes, and what a fresh reader saw after each kill."""

    client: StockClient
    client_id: int
    patches: list[Patch]
    typed: int = 0
    seen: list[tuple[int, str]] = field(default_factory=list)
    """The author's clock and the text, as the server knew them right after each restart."""

    async def type(self, count: int) -> None:
        """Type the next ``count`` edits."""
        start, self.typed = self.typed, self.typed + count
        await self.client.type(self.patches[start : self.typed], acknowledge_every=ACKNOWLEDGE_EVERY)

    async def lose_server(self, server: ServerProcess, after_s: float) -> None:
        """Have the server killed while typing; what it confirmed is there again before the author is."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.type(EDITS_UNDER_FIRE))
            await asyncio.sleep(after_s)
            await asyncio.to_thread(server.kill)
            await self.client.disconnect()
        acknowledged = await self.client.acknowledged()
        await asyncio.to_thread(server.start)
        async with RawClient.open(server.ws_url(DOCUMENT)) as reader:
            known = reader.clocks.get(self.client_id, 0)
            self.seen.append((known, reader.text))
        assert known >= acknowledged, f"edits {known} to {acknowledged} were confirmed and are lost"
        await self.client.connect()
        await self.client.wait_synced()


async def test_whole_paper_survives_five_kills(tmp_path: Path, node: NodeClients, seed: int) -> None:
    """Nothing confirmed is ever lost, the end is exact, and neither memory nor disk run away."""
    random = Random(seed)
    recording = load_sequential(AUTOMERGE_PAPER)
    kills = sorted(random.sample(range(len(recording.patches) - EDITS_UNDER_FIRE), KILLS))
    with ServerProcess(tmp_path / "data") as server:
        client = await node.open("author", server.ws_root, DOCUMENT)
        await client.wait_synced()
        author = Author(client, await client.client_id(), recording.patches)
        async with watched(server) as peak:
            for kill_at in kills:
                await author.type(max(0, kill_at - author.typed))
                await author.lose_server(server, random.uniform(0, LATEST_KILL_S))
            await author.type(len(recording.patches) - author.typed)
            await client.acknowledge()
        await client.destroy()

        await _assert_reads(server, recording.end)
        assert_each_was_typed(author.seen, recording.patches)
        assert peak.memory_bytes < MEMORY_LIMIT_BYTES
        assert peak.stored_bytes < LOG_LIMIT_BYTES
        assert await asyncio.to_thread(server.stop) == 0
        await asyncio.to_thread(compact, server.data)
        assert stored_bytes(server.data) < COMPACTED_LIMIT_BYTES
        await asyncio.to_thread(server.start)
        await _assert_reads(server, recording.end)


async def _assert_reads(server: ServerProcess, text: str) -> None:
    async with RawClient.open(server.ws_url(DOCUMENT)) as reader:
        assert reader.text == text


def assert_each_was_typed(seen: list[tuple[int, str]], patches: list[Patch]) -> None:
    """Check that every text seen is one that the author had when so many characters had been inserted.

    The recording is ASCII and each edit inserts or deletes one character. The same text may be seen
    several times: a server can be killed again before it has stored anything new.
    """
    waiting = [(clock, text.encode()) for clock, text in seen]
    text, clock = bytearray(), 0
    for position, deleted, inserted in [*patches, END]:
        while waiting and clock == waiting[0][0] and text == waiting[0][1]:
            waiting.pop(0)
        text[position : position + deleted] = inserted.encode()
        clock += len(inserted)
    assert [clock for clock, _ in waiting] == [], "the server gave texts that the author never had"


@pytest.mark.parametrize("seen", [[(1, "a"), (1, "a"), (2, "ab")], [(0, ""), (2, "b")], [(2, "b"), (2, "b")]])
def test_a_text_that_was_typed_is_found_as_often_as_it_was_seen(seen: list[tuple[int, str]]) -> None:
    """The check of the paper takes a text seen twice, between two edits and after the last."""
    assert_each_was_typed(seen, [(0, 0, "a"), (1, 0, "b"), (0, 1, "")])


@pytest.mark.parametrize("seen", [[(1, "b")], [(2, "a")], [(2, "b"), (1, "a")]])
def test_a_text_that_was_never_typed_is_found_out(seen: list[tuple[int, str]]) -> None:
    """The check of the paper fails on an unknown text, on one of another clock, and on a step back."""
    with pytest.raises(AssertionError, match="never had"):
        assert_each_was_typed(seen, [(0, 0, "a"), (1, 0, "b"), (0, 1, "")])


def compact(data: Path) -> None:
    """Fold the log of a stopped server."""
    subprocess.run([*COWRITE, "compact", "--data", data], check=True, timeout=PATIENCE_S)


def stored_bytes(data: Path) -> int:
    """Return what the database takes on disk, its log included."""
    return sum(file.stat().st_size for file in data.glob("cowrite.db*") if file.exists())
