"""What people write comes back as they wrote it: live, after a crash, and from a snapshot (U12–U16, D6)."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from tests.support.clients import VERSIONS, NodeClients, StockClient
from tests.support.polling import poll
from tests.support.server_process import COWRITE, ServerProcess

LIMIT_S = 60.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of the test's own, for it is killed."""
    with ServerProcess(tmp_path / "data") as running:
        yield running


class Contents:
    """The contents of tests/node/contents.mjs, through stock clients."""

    def __init__(self, node: NodeClients, server: ServerProcess) -> None:
        self._node = node
        self._server = server

    async def open(self, name: str, version: str) -> StockClient:
        return await self._node.open(name, self._server.ws_root, "contents", version=version)

    async def write(self, client: StockClient) -> dict[str, str]:
        """Write everything, and return what others are to read."""
        await self._node.ask(client.name, "write")
        return cast(dict[str, str], await self._node.ask(client.name, "wanted"))

    async def reads(self, client: StockClient, wanted: dict[str, str]) -> None:
        """Wait until the client reads what is wanted; fail with what differs."""
        read: dict[str, str] = {}

        async def is_read() -> bool:
            nonlocal read
            read = cast(dict[str, str], await self._node.ask(client.name, "read"))
            return read == wanted

        try:
            await poll(is_read, LIMIT_S, "everything reads as it was written")
        except AssertionError:
            differing = {name: (read[name], wanted[name]) for name in wanted if read[name] != wanted[name]}
            raise AssertionError(f"read, and wanted: {differing}") from None


def fold(data: Path) -> str:
    """Fold every log of a data folder, and return what the command says."""
    folded = subprocess.run(
        [*COWRITE, "compact", "--data", str(data)], capture_output=True, text=True, timeout=LIMIT_S
    )
    assert folded.returncode == 0, folded.stderr
    return folded.stdout


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_content_comes_back_after_a_crash_and_from_a_snapshot(
    node: NodeClients, server: ServerProcess, version: str
) -> None:
    contents = Contents(node, server)
    author = await contents.open("author", version)
    await author.wait_synced()
    witness = await contents.open("witness", VERSIONS[0])
    wanted = await contents.write(author)
    await author.acknowledge(LIMIT_S)
    await contents.reads(witness, wanted)

    await author.destroy()
    await witness.destroy()
    await asyncio.to_thread(server.restart)
    reader = await contents.open("reader of the log", version)
    await contents.reads(reader, wanted)
    await reader.destroy()

    assert await asyncio.to_thread(server.stop) == 0
    assert await asyncio.to_thread(fold, server.data) == "folded 1 of 1 documents\n"
    await asyncio.to_thread(server.start)
    late = await contents.open("reader of the snapshot", version)
    await contents.reads(late, wanted)
    await late.insert(0, "and goes on")
    await late.acknowledge(LIMIT_S)
